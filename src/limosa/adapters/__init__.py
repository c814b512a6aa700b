"""One adapter per port, independent of each other."""
