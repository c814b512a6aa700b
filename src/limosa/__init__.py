"""limosa: a container system for an unmodified Linux kernel in which a checkpoint is a commit.

Layers, top to bottom: `cli` (one verb per file), `wiring` (names the adapters), `engine` (use cases),
`adapters` (one per port), `ports` (what the engine needs from the world), `linux` (one kernel facility
per function), `model` (values and pure rules).  `keeper` holds the small processes of one container.
"""

__version__ = "0.1.0"
