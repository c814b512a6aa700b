"""What the slicer's engine needs from the world."""
