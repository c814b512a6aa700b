"""Where definitions are in a file, without a parser: enough of C-like languages, Python and Go, Rust, Java, JavaScript.

The tree-sitter adapter says the same thing better; this is what is left when it is not installed or knows no grammar.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """A named thing: lines [start, end), counting from 0; `depth` 0 is the top level of the file."""

    name: str
    kind: str
    start: int
    end: int
    depth: int = 0


C_LIKE = {
    ".c",
    ".h",
    ".cc",
    ".cpp",
    ".cxx",
    ".hpp",
    ".hh",
    ".java",
    ".js",
    ".jsx",
    ".mjs",
    ".ts",
    ".tsx",
    ".go",
    ".rs",
    ".cs",
}
PYTHON = {".py", ".pyi", ".pyx"}
C_SOURCES = {".c", ".cc", ".cpp", ".cxx"}
_PYTHON_DEF = re.compile(rb"^([ \t]*)(?:async[ \t]+)?(def|class)[ \t]+([A-Za-z_]\w*)")
_BRACED = [
    ("function", re.compile(rb"^(?:func)\s+(?:\([^)]*\)\s*)?(\w+)")),
    ("function", re.compile(rb"^(?:pub(?:\([^)]*\))?\s+)?(?:async\s+|unsafe\s+|const\s+)*fn\s+(\w+)")),
    ("function", re.compile(rb"^(?:export\s+)?(?:default\s+)?(?:async\s+)?function\s*\*?\s*(\w+)")),
    (
        "type",
        re.compile(
            rb"^(?:(?:pub(?:\([^)]*\))?|export|default|public|abstract|final|static|typedef|private|protected)\s+)*"
            rb"(?:struct|enum|union|class|interface|trait|type|impl|mod|record)\s+(\w+)[^;()]*$"
        ),
    ),
    ("macro", re.compile(rb"^#\s*define\s+(\w+)")),
    ("function", re.compile(rb"^(?!(?:if|for|while|switch|return|else|do|case|goto)\b)[A-Za-z_][\w\s*&:<>,\[\]~]*?\b(\w+)\s*\((?!.*;\s*$)")),  # noqa: E501
    ("variable", re.compile(rb"^(?:export\s+)?(?:static|const|extern|var|let)\b[^()]*?\b(\w+)\s*(?:\[[^\]]*\]\s*)*=(?!=)")),  # noqa: E501
    ("function", re.compile(rb"^(\w+)\s*\([^;]*$")),
]  # fmt: skip


def extension(path: str) -> str:
    """Return the last suffix of `path` in lower case, with its dot."""
    name = path.rsplit("/", 1)[-1]
    return "." + name.rsplit(".", 1)[1].lower() if "." in name.lstrip(".") else ""


def outline(path: str, lines: Sequence[bytes]) -> list[Definition]:
    """Return the definitions in `lines`, in order of their first line; nested ones only for Python."""
    suffix = extension(path)
    if suffix in PYTHON:
        return _python(lines)
    if suffix in C_LIKE:
        return _braced(lines)
    return []


def _python(lines: Sequence[bytes]) -> list[Definition]:
    found: list[Definition] = []
    open_: list[tuple[int, Definition]] = []
    last_code = 0
    for number, line in enumerate(lines):
        body = line.strip()
        if not body or body.startswith(b"#"):
            continue
        indent = len(line.expandtabs()) - len(line.expandtabs().lstrip())
        while open_ and indent <= open_[-1][0] and not body.startswith((b")", b"]", b"}")):
            _close(found, open_.pop()[1], last_code + 1)
        if match := _PYTHON_DEF.match(line):
            start = _decorated(lines, number)
            kind = "function" if match[2] == b"def" else "type"
            open_.append((indent, Definition(match[3].decode(), kind, start, number + 1, len(open_))))
        last_code = number
    while open_:
        _close(found, open_.pop()[1], last_code + 1)
    return sorted(found, key=lambda d: (d.start, d.depth))


def _close(found: list[Definition], item: Definition, end: int) -> None:
    found.append(Definition(item.name, item.kind, item.start, max(end, item.start + 1), item.depth))


def _decorated(lines: Sequence[bytes], number: int) -> int:
    while number and lines[number - 1].lstrip().startswith(b"@"):
        number -= 1
    return number


def _braced(lines: Sequence[bytes]) -> list[Definition]:
    found: list[Definition] = []
    number = 0
    while number < len(lines):
        line = lines[number]
        hit = _braced_start(line) if line[:1] not in b" \t\r\n}/*" else None
        if hit is None:
            number += 1
            continue
        kind, name = hit
        end = _macro_end(lines, number) if kind == "macro" else _body_end(lines, number)
        start = number
        while start > 0 and _leads(lines[start - 1]):
            start -= 1
        if found and start < found[-1].end:
            start = max(found[-1].end, min(start, number))
        found.append(Definition(name, kind, start, end))
        number = end
    return found


def _braced_start(line: bytes) -> tuple[str, str] | None:
    for kind, pattern in _BRACED:
        if match := pattern.match(line):
            return kind, match[1].decode()
    return None


def _leads(line: bytes) -> bool:
    """Say whether a line before a definition belongs to it: a comment, an attribute, a return type on its own line."""
    text = line.strip()
    if not text or text.endswith((b";", b"}", b"{")):
        return False
    return text.startswith((b"//", b"/*", b"*", b"@", b"#[")) or re.fullmatch(rb"[A-Za-z_][\w\s*]*", text) is not None


def _macro_end(lines: Sequence[bytes], number: int) -> int:
    while number < len(lines) and lines[number].rstrip().endswith(b"\\"):
        number += 1
    return min(number + 1, len(lines))


def _body_end(lines: Sequence[bytes], start: int) -> int:
    """Return the line after the definition: after its closing brace in column 0, or its `;` when no brace opens."""
    opened = False
    for number in range(start, len(lines)):
        line = lines[number]
        opened = opened or b"{" in line
        if number > start and line.startswith((b"}", b")")) and opened:
            return number + 1
        if not opened and line.rstrip().endswith(b";"):
            return number + 1
        if opened and number == start and line.count(b"{") == line.count(b"}"):
            return number + 1
    return len(lines)


_COMMENTS = re.compile(rb"//[^\n]*|/\*.*?\*/", re.S)
_IMPORTS = re.compile(rb"^[ \t]*(?:from[ \t]+[.\w]+[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.M)
_NAME = re.compile(rb"[A-Za-z_]\w*|\*")
_STATIC = re.compile(rb"\bstatic\b")


def file_scoped(path: str, lines: Sequence[bytes], definitions: Sequence[Definition]) -> frozenset[bytes]:
    """Return the names of `definitions` that code in no other file can mean.

    In C and C++ these are what a source, not a header, declares static, and its types and macros; in Python what is
    defined inside a function. Source: C17, 6.2.2; Python's language reference, 4.2.
    """
    suffix = extension(path)
    if suffix in PYTHON:
        scoped = _inside_functions(definitions)
    elif suffix in C_SOURCES:
        scoped = [d.kind in ("type", "macro") or _is_static(d, lines) for d in definitions]
    else:
        return frozenset()
    seen = {d.name for d, own in zip(definitions, scoped, strict=True) if not own}
    return frozenset(d.name.encode() for d in definitions if d.name not in seen)


def _inside_functions(definitions: Sequence[Definition]) -> list[bool]:
    """Return for each definition, sorted by first line, whether the one right around it is a function."""
    found: list[bool] = []
    open_: list[Definition] = []
    for item in definitions:
        while open_ and (open_[-1].end <= item.start or open_[-1].depth >= item.depth):
            open_.pop()
        found.append(bool(open_) and open_[-1].kind == "function")
        open_.append(item)
    return found


def _is_static(item: Definition, lines: Sequence[bytes]) -> bool:
    text = _COMMENTS.sub(b"", b"".join(lines[item.start : item.end]))
    name = item.name.encode()
    start = next((match.start() for match in _NAME.finditer(text) if match[0] == name), len(text))
    return _STATIC.search(text, 0, start) is not None


def python_imports(lines: Sequence[bytes]) -> frozenset[bytes]:
    """Return the names in the import statements of a Python file; b"*" is among them where one brings in all names."""
    found = (m[1] or m[2] or b"" for m in _IMPORTS.finditer(b"".join(lines)))
    return frozenset(name for names in found for name in _NAME.findall(names))
