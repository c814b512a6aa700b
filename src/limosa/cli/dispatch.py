"""Find the verb, parse its arguments, run it, and turn an error into a message and a status."""

from collections.abc import Sequence


def run(argv: Sequence[str]) -> int:
    """Run the command line `argv` (without the program's name) and return the exit status."""
    raise NotImplementedError(argv)
