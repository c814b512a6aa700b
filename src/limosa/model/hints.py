"""What annotations are made of: the names of `typing` to the type checker, next to nothing when the program runs.

`typing`, and `re` and `enum` with it, take 8 ms to load, a quarter of what `ps` does (docs/adr/0002). Annotations need
them only to be looked at by others, and the only one who does so here is `limosa.model.codec`.
"""

__all__ = [
    "IO",
    "TYPE_CHECKING",
    "Any",
    "BinaryIO",
    "Final",
    "Literal",
    "NewType",
    "NoReturn",
    "Protocol",
    "Self",
    "TextIO",
    "TypeVar",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import IO, Any, BinaryIO, Final, Literal, NewType, NoReturn, Protocol, Self, TextIO, TypeVar
else:
    from types import GenericAlias

    class _Name:
        """A name that an annotation may use, alone, with arguments, or beside `| None`."""

        def __class_getitem__(cls, arguments):
            """Return the name with arguments, as `__args__`; a Literal's stay as they are."""
            return GenericAlias(cls, arguments)

    class Any(_Name):
        pass

    class IO(_Name):
        pass

    class BinaryIO(_Name):
        pass

    class TextIO(_Name):
        pass

    class Final(_Name):
        pass

    class Literal(_Name):
        pass

    class NoReturn(_Name):
        pass

    class Self(_Name):
        pass

    class Protocol:
        """A base without any effect."""

        __slots__ = ()

    def NewType(name, base):
        """Return the base: a new type of a value is the value's own."""
        return base

    def TypeVar(name):
        """Return a name that fits anything."""
        return Any
