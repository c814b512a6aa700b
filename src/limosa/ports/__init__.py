"""What the engine needs from the world, as Protocols with their contracts."""
