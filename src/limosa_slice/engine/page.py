"""One page for the people who must decide: the dependency graph, the series and each slice's diff. No other file."""

from collections.abc import Sequence
from html import escape

from limosa_slice.model.change import Change
from limosa_slice.model.series import Slice

ROW = 26  # pixels between two slices of the graph
WIDTH = 1100
SHOWN_LINES = 4000  # of one slice's diff
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:1140px;padding:0 1em;color:#1a1a1a;background:#fff}
h1{font-size:1.5em}table{border-collapse:collapse;width:100%}td,th{padding:.2em .6em;text-align:left;border-bottom:1px solid #ddd}
td.n,th.n{text-align:right}a{color:#0b57a4;text-decoration:none}details{border:1px solid #ddd;border-radius:4px;margin:.6em 0;padding:.4em .8em}
summary{cursor:pointer;font-weight:600}pre{overflow-x:auto;font:12.5px/1.35 ui-monospace,monospace;background:#fafafa;padding:.6em}
.a{background:#e5f6e5}.d{background:#fbe7e7}.h{color:#6a3d9a}.m{font-weight:600}.yes{color:#176f2c}.bad{color:#b3261e;font-weight:600}
svg text{font:13px system-ui,sans-serif}svg path{fill:none;stroke:#8aa;stroke-width:1.3}svg path:hover{stroke:#c30;stroke-width:3}
@media(prefers-color-scheme:dark){body{background:#16181b;color:#e4e4e4}pre{background:#1e2125}.a{background:#173a20}.d{background:#46201f}
svg text{fill:#e4e4e4}td,th,details{border-color:#444}a{color:#7db7f0}.h{color:#c5a3ea}.yes{color:#7fd394}.bad{color:#ff8a80}}
""".strip()  # noqa: E501


def page(title: str, change: Change, slices: Sequence[Slice], edges: dict[tuple[int, int], str], diffs: Sequence[bytes]) -> str:  # fmt: skip  # noqa: E501
    """Return the page as HTML; `diffs` has each slice's diff as text."""
    rows = [_row(number, change, item) for number, item in enumerate(slices, 1)]
    parts = [_part(number, item, diff) for number, (item, diff) in enumerate(zip(slices, diffs, strict=True), 1)]
    lines = sum(change.lines(atom) for atom in change.atoms)
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(_text(title))}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(_text(title))}</h1>",
            f"<p>{len(change.atoms)} hunks and parts of hunks in {len(change.files)} files, {lines} lines, "
            f"in {len(slices)} slices.</p>",
            "<h2>What needs what</h2><p>An arc leads from a slice to a later one that needs it; its tip says why.</p>",
            _graph(slices, edges),
            "<h2>The series</h2><table>",
            "<tr><th class=n>nr<th>title<th class=n>files<th class=n>lines<th>built<th>tested</tr>",
            *rows,
            "</table><h2>The slices</h2>",
            *parts,
            "</body></html>\n",
        ]
    )


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _row(number: int, change: Change, item: Slice) -> str:
    atoms = [change.atoms[a] for a in item.atoms]
    words = {True: "<td class=yes>yes", False: "<td class=bad>fails", None: "<td>-"}
    return (
        f"<tr><td class=n>{number}<td><a href='#s{number}'>{escape(_text(item.title))}</a>"
        f"<td class=n>{len({a.file for a in atoms})}<td class=n>{sum(change.lines(a) for a in atoms)}"
        f"{words[item.built]}{words[item.tested]}</tr>"
    )


def slice_edges(slices: Sequence[Slice], edges: dict[tuple[int, int], str]) -> dict[tuple[int, int], list[str]]:
    """Return (earlier slice, later slice) -> reasons."""
    place = {atom: n for n, item in enumerate(slices) for atom in item.atoms}
    found: dict[tuple[int, int], list[str]] = {}
    for (first, later), why in edges.items():
        one, two = place.get(first), place.get(later)
        if one is not None and two is not None and one < two:
            found.setdefault((one, two), []).append(f"h{first} {why} (h{later})")
    return found


def _graph(slices: Sequence[Slice], edges: dict[tuple[int, int], str]) -> str:
    height = ROW * len(slices) + 10
    left = min(360, 40 + 6 * len(slices))
    drawn = []
    for (one, two), reasons in sorted(slice_edges(slices, edges).items()):
        top, bottom = ROW * one + ROW // 2, ROW * two + ROW // 2
        reach = left - 14 - min(left - 24, 12 + 8 * (two - one))
        shown = "\n".join(reasons[:8]) + ("" if len(reasons) <= 8 else f"\nand {len(reasons) - 8} more")
        drawn.append(
            f"<path d='M{left - 8} {top} C{reach} {top} {reach} {bottom} {left - 8} {bottom}'>"
            f"<title>{one + 1} before {two + 1}:\n{escape(_text(shown))}</title></path>"
        )
    for number, item in enumerate(slices):
        middle = ROW * number + ROW // 2
        drawn.append(
            f"<circle cx='{left - 4}' cy='{middle}' r='4' fill='#0b57a4'/><a href='#s{number + 1}'>"
            f"<text x='{left + 6}' y='{middle + 4}'>{number + 1}. {escape(_text(item.title[:110]))}</text></a>"
        )
    return f"<svg width='100%' viewBox='0 0 {WIDTH} {height}' role='img'>{''.join(drawn)}</svg>"


def _part(number: int, item: Slice, diff: bytes) -> str:
    lines = diff.decode("utf-8", "replace").split("\n")
    shown = [_line(line) for line in lines[:SHOWN_LINES]]
    if len(lines) > SHOWN_LINES:
        shown.append(f"… {len(lines) - SHOWN_LINES} more lines")
    body = "\n".join(shown)
    return (
        f"<details id='s{number}'><summary>{number}. {escape(_text(item.title))}</summary><pre>{body}</pre></details>"
    )


def _line(line: str) -> str:
    if line.startswith(("+++", "---", "diff --git", "index ", "rename ", "new file", "deleted file", "similarity")):
        return f"<span class=m>{escape(line)}</span>"
    kind = {"+": "a", "-": "d", "@": "h"}.get(line[:1])
    return f"<span class={kind}>{escape(line)}</span>" if kind else escape(line)
