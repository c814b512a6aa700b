"""What the engine needs to know about programming languages."""

from collections.abc import Sequence
from typing import Protocol

from limosa_slice.model.outline import Definition


class Syntax(Protocol):
    """Definitions and well-formedness of a file's text."""

    def outline(self, path: str, lines: Sequence[bytes]) -> list[Definition]:
        """Return the definitions in `lines`, sorted by first line. An unknown language has none."""

    def errors(self, path: str, text: bytes) -> int | None:
        """Return how many places of `text` do not parse, or None for a language that nobody here can parse."""
