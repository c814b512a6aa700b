"""The small process of one container, between two lives of its program (docs/adr/0008)."""
