"""One kernel facility per function. No policy, no names of containers."""
