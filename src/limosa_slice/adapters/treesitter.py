"""Definitions by tree-sitter where its grammars are installed (dependency group `slice`), else by plain text.

Source: tree-sitter's Python bindings; the node types are those of each grammar's node-types.json.
"""

import ast
import importlib
import warnings
from collections.abc import Sequence
from typing import Any

from limosa_slice.model.outline import PYTHON, Definition, extension, outline

GRAMMARS = {
    ".c": ("tree_sitter_c", "language"),
    ".h": ("tree_sitter_c", "language"),
    ".cc": ("tree_sitter_cpp", "language"),
    ".cpp": ("tree_sitter_cpp", "language"),
    ".cxx": ("tree_sitter_cpp", "language"),
    ".hpp": ("tree_sitter_cpp", "language"),
    ".hh": ("tree_sitter_cpp", "language"),
    ".py": ("tree_sitter_python", "language"),
    ".pyi": ("tree_sitter_python", "language"),
    ".go": ("tree_sitter_go", "language"),
    ".rs": ("tree_sitter_rust", "language"),
    ".java": ("tree_sitter_java", "language"),
    ".js": ("tree_sitter_javascript", "language"),
    ".mjs": ("tree_sitter_javascript", "language"),
    ".jsx": ("tree_sitter_javascript", "language"),
    ".ts": ("tree_sitter_typescript", "language_typescript"),
    ".tsx": ("tree_sitter_typescript", "language_tsx"),
}
FUNCTIONS = {
    "function_definition", "function_declaration", "method_declaration", "method_definition", "function_item",
    "constructor_declaration", "generator_function_declaration",
}  # fmt: skip
TYPES = {
    "struct_specifier", "enum_specifier", "union_specifier", "class_specifier", "class_definition", "class_declaration",
    "interface_declaration", "enum_declaration", "struct_item", "enum_item", "trait_item", "impl_item", "mod_item",
    "type_definition", "type_declaration", "type_alias_declaration", "type_item", "union_item", "record_declaration",
    "namespace_definition",
}  # fmt: skip
MACROS = {"preproc_def", "preproc_function_def", "macro_definition"}
VARIABLES = {
    "declaration", "const_item", "static_item", "const_declaration", "var_declaration", "lexical_declaration",
    "variable_declaration", "expression_statement",
}  # fmt: skip
WRAPPERS = {
    "decorated_definition", "export_statement", "template_declaration", "linkage_specification", "preproc_ifdef", "preproc_if",  # noqa: E501
    "preproc_else", "declaration_list", "class_body", "block", "field_declaration_list", "namespace_definition", "preproc_elif",  # noqa: E501
}  # fmt: skip
NAME_FIELDS = ("name", "declarator", "type", "left")
COMMENTS = {"comment", "line_comment", "block_comment", "attribute_item"}


class TreeSitterSyntax:
    """Implements `ports.syntax.Syntax`. Parsers are made on first use and kept."""

    def __init__(self) -> None:
        self._parsers: dict[str, Any] = {}

    def _parser(self, path: str) -> Any:
        suffix = extension(path)
        if suffix not in GRAMMARS:
            return None
        if suffix not in self._parsers:
            self._parsers[suffix] = _load(*GRAMMARS[suffix])
        return self._parsers[suffix]

    def outline(self, path: str, lines: Sequence[bytes]) -> list[Definition]:
        parser = self._parser(path)
        if parser is None:
            return outline(path, lines)
        found: list[Definition] = []
        _walk(parser.parse(b"".join(lines)).root_node, 0, found)
        return sorted(found, key=lambda d: (d.start, d.depth))

    def errors(self, path: str, text: bytes) -> int | None:
        if extension(path) in PYTHON - {".pyx"}:
            return _python_errors(text)
        parser = self._parser(path)
        return None if parser is None else _error_count(parser.parse(text).root_node)


def available() -> bool:
    """Say whether tree-sitter and at least one grammar are installed."""
    return _load("tree_sitter_c", "language") is not None or _load("tree_sitter_python", "language") is not None


def _load(module: str, function: str) -> Any:
    try:
        binding = importlib.import_module("tree_sitter")
        grammar = importlib.import_module(module)
    except ImportError:
        return None
    return binding.Parser(binding.Language(getattr(grammar, function)()))


def _python_errors(text: bytes) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return 1
    return 0


def _walk(node: Any, depth: int, found: list[Definition]) -> None:
    lead: int | None = None
    last_end = -1
    for child in node.named_children:
        start, end = child.start_point[0], _end_line(child)
        if child.type in COMMENTS:
            # A comment that touches what follows belongs to it.
            lead = lead if lead is not None and start <= last_end else start
            last_end = end
            continue
        first = lead if lead is not None and start <= last_end else start
        lead = None
        kind = _kind(child.type, depth)
        name = _name(child) if kind else ""
        if kind and name:
            found.append(Definition(name, kind, first, end, depth))
            if kind in ("type", "function"):
                _descend(child, depth + 1, found)
        elif child.type in WRAPPERS:
            before = len(found)
            _walk(child, depth, found)
            if (
                child.type in ("decorated_definition", "export_statement", "template_declaration")
                and len(found) > before
            ):
                item = found[before]
                found[before] = Definition(item.name, item.kind, first, end, item.depth)


def _descend(node: Any, depth: int, found: list[Definition]) -> None:
    for child in node.named_children:
        if child.type in WRAPPERS and depth < 4:
            _walk(child, depth, found)


def _kind(node_type: str, depth: int) -> str:
    if node_type in FUNCTIONS:
        return "function"
    if node_type in TYPES:
        return "type"
    if node_type in MACROS:
        return "macro"
    return "variable" if node_type in VARIABLES and depth == 0 else ""


def _end_line(node: Any) -> int:
    row, column = node.end_point
    return int(row + (column > 0))


def _name(node: Any) -> str:
    """Return the identifier that a definition introduces: down the fields that lead to it."""
    for _ in range(12):
        if node.type.endswith("identifier") or node.type == "name":
            return str(node.text.decode(errors="replace"))
        for field in NAME_FIELDS:
            below = node.child_by_field_name(field)
            if below is not None and not (field == "type" and node.type in ("declaration", "function_definition")):
                node = below
                break
        else:
            below = next((c for c in node.named_children if c.type not in COMMENTS), None)
            if below is None:
                return ""
            node = below
    return ""


def _error_count(root: Any) -> int:
    if not root.has_error:
        return 0
    count, stack = 0, [root]
    while stack:
        node = stack.pop()
        count += node.type == "ERROR" or node.is_missing
        stack.extend(child for child in node.children if child.has_error)
    return count
