"""One verb per file: parse, call the engine, render."""
