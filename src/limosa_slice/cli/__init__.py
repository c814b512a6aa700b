"""The command: parse, call the engine, print."""
