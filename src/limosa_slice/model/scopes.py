"""What a name on a line can mean: bound in the function around it, a member of an object, or of the module.

Enough of the scoping rules of Python and C to tell a parameter from a function that is called like it. Nothing is
parsed, so a file that does not compile can be read, too. Sources: Python's language reference, 4.2; C17, 6.2.1.
"""

import re
from collections.abc import Sequence

from limosa_slice.model.outline import PYTHON, Definition, extension, outline, python_imports

_STRING = re.compile(rb"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
_NAME = re.compile(rb"[A-Za-z_]\w*")
_LAST_NAME = re.compile(rb"[A-Za-z_]\w*(?=\s*$)")
_PARAMETERS = re.compile(rb"\bdef\s+\w+\s*\(((?:[^()]|\([^()]*\))*)\)|\blambda\b([^:\n]*):")
_TARGETS = re.compile(
    rb"^[ \t]*((?:\(?\*?\w+\)?\s*,\s*)*\(?\*?\w+\)?\s*,?)\s*(?::[^=\n]+)?=(?!=)"  # a = , a, b = , a: int =
    rb"|\bfor\s+(.+?)\s+in\b|\bas\s+(\(?[\w, ]+)|\b(\w+)\s*:=",
    re.M,
)
_STORED = re.compile(rb"\.\s*(\w+)\s*(?::[^=\n(]+)?=(?!=)")
_C_BOUND = re.compile(rb"\b(?!return\b|else\b|goto\b|case\b|sizeof\b)[A-Za-z_]\w*[\s*]+(\w+)\s*(?=[,;=)\[])")
_ITSELF = (b"self", b"cls")


def members(path: str, definitions: Sequence[Definition]) -> frozenset[bytes]:
    """Return the names of those `definitions`, sorted by first line, that are members of a class and nothing else."""
    if extension(path) not in PYTHON:
        return frozenset()
    inside: set[bytes] = set()
    elsewhere: set[bytes] = set()
    open_: list[Definition] = []
    for item in definitions:
        while open_ and (open_[-1].end <= item.start or open_[-1].depth >= item.depth):
            open_.pop()
        (inside if open_ and open_[-1].kind == "type" else elsewhere).add(item.name.encode())
        open_.append(item)
    return frozenset(inside - elsewhere)


class Scopes:
    """One side of a file, and what names in it are bound to."""

    def __init__(self, path: str, lines: Sequence[bytes]) -> None:
        self._python = extension(path) in PYTHON
        self._lines = lines
        self.imports = python_imports(lines) if self._python else frozenset[bytes]()
        self._functions: list[Definition] | None = None
        self._bound: dict[int, frozenset[bytes]] = {}
        self._stored: frozenset[bytes] | None = None
        self._path = path

    def may_mean(self, name: bytes, first: int, count: int, *, member: bool, here: bool) -> bool:
        """Say whether `name` on one of lines [first, first + count) can be a definition of the module, or of a class.

        `member` says that a class has it, `here` that this file does. A function's parameters and variables hide a
        module's names; a member is only reached through a dot, and not where the file puts something else there.
        """
        for number in range(first, min(first + count, len(self._lines))):
            if name not in self._lines[number]:
                continue
            line = _STRING.sub(b'""', self._lines[number])
            for match in _NAME.finditer(line):
                if match[0] == name and self._can(line, match, number, member=member, here=here):
                    return True
        return False

    def _can(self, line: bytes, match: re.Match[bytes], number: int, *, member: bool, here: bool) -> bool:
        name, before, after = match[0], line[: match.start()].rstrip(), line[match.end() :].lstrip()
        dotted = before.endswith((b".", b"->")) and not before.endswith(b"..")
        if not self._python:
            return not dotted and name not in self._bound_at(number)
        if after[:1] == b"=" and after[:2] != b"==" and not dotted:
            return False  # a keyword of a call, or a variable
        if dotted:
            if member:
                return name not in self._stored_names()
            base = _LAST_NAME.search(before[:-1])
            return base is not None and base[0] not in _ITSELF and base[0] in self.imports
        if member:  # inside the class itself, outside its methods, a member has its bare name
            return here and not self._inside(number)
        return name not in self._bound_at(number) and (here or bool(self.imports & {name, b"*"}))

    def _stored_names(self) -> frozenset[bytes]:
        if self._stored is None:
            self._stored = frozenset(name for line in self._lines for name in _STORED.findall(line))
        return self._stored

    def _inside(self, number: int) -> Definition | None:
        """Return the outermost function around a line."""
        if self._functions is None:
            self._functions = [d for d in outline(self._path, self._lines) if d.kind == "function"]
        return next((d for d in self._functions if d.start <= number < d.end), None)

    def _bound_at(self, number: int) -> frozenset[bytes]:
        """Return the parameters and variables of the outermost function around a line, and of those in it."""
        around = self._inside(number)
        if around is None:
            return frozenset()
        if around.start not in self._bound:
            text = b"".join(_STRING.sub(b'""', line) for line in self._lines[around.start : around.end])
            self._bound[around.start] = _python_bound(text) if self._python else frozenset(_C_BOUND.findall(text))
        return self._bound[around.start]


def _python_bound(text: bytes) -> frozenset[bytes]:
    """Return the names of parameters, and of what is assigned, in the text of a function."""
    found: set[bytes] = set()
    for match in _PARAMETERS.finditer(text):
        for part in _split(match[1] if match[1] is not None else match[2]):
            found.update(_NAME.findall(part.partition(b"=")[0].partition(b":")[0])[:1])
    for match in _TARGETS.finditer(text):
        found.update(name for group in match.groups() if group for name in _NAME.findall(group))
    return frozenset(found)


def _split(text: bytes) -> list[bytes]:
    """Return what stands between the commas that are in no brackets."""
    parts, depth = [bytearray()], 0
    for character in text:
        depth += (character in b"([{") - (character in b")]}")
        if character == ord(b",") and not depth:
            parts.append(bytearray())
        else:
            parts[-1].append(character)
    return [bytes(part) for part in parts]
