"""docs/compatibility.md: what a run of the matrix showed, as docs/compatibility.json keeps it.

A line is written by the run itself (`make compatibility`), passed or failed; the page is made of nothing but the
programs that are declared and these lines. `python -m tests.e2e.matrix.compatibility` makes it anew.
"""

import json
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.e2e.matrix.driver import STEPS, Walked
from tests.e2e.matrix.programs import PROGRAMS, SYSTEM
from tests.e2e.matrix.refused import CASES

_DOCS: Final = os.path.join(os.path.dirname(__file__), "../../../docs")
RECORD: Final = os.path.normpath(f"{_DOCS}/compatibility.json")
PAGE: Final = os.path.normpath(f"{_DOCS}/compatibility.md")
_TOOLS: Final = "/var/lib/limosa/tools/current"
Line = dict[str, Any]
Lines = dict[str, Line]
DECLARED: Final = (*PROGRAMS, SYSTEM)


class Record(NamedTuple):
    """docs/compatibility.json: lines by the program, and by what is refused."""

    programs: Lines
    refusals: Lines


_HEAD: Final = """\
# What comes back from a commit

Made by `make compatibility` from runs of `tests/e2e/matrix`, each line its last; the last one is of `tests/vm`. Each
program is from Debian's packages and runs with limosa's defaults. While its load runs from another container, it is
committed and goes on. Its data is damaged; it is rewound, copied three times and, after `limosa rm`, restored. Each
time its own tools check its data, and all that come from the commit have to be the same. It is loaded and committed
again, stopped, restored from that commit, and ends with its own exit status. *Frozen* is how long its processes stood
still at the first commit, on a machine busy with the load.
"""

_REFUSED: Final = """
## What no commit can have

Of these, and of what `limosa doctor NAME` says besides, a checkpoint is refused before or while it is made; the
container goes on as it was, and can be committed once it is ended. Made by `make compatibility` from a run of
`tests/e2e/test_obstacles.py`, in which a program did each, was refused for just that, ended it and was refused no more.
"""


@contextmanager
def recording(what: str, *, write: bool) -> Iterator[Callable[[Walked], None]]:
    """Give what takes a program's result; if the block fails, that is the result."""
    shown: list[Walked] = []
    try:
        yield shown.append
    except BaseException as failed:
        if write:
            remember(what, {"failed": _why(failed), "where": where()})
        raise
    if write:
        (walked,) = shown
        remember(what, {**walked._asdict(), "where": where()})


def _why(failed: BaseException) -> str:
    """Return in which step it failed, and what limosa said is the cause; no path of the machine."""
    steps = [note.rpartition(": ")[2] for note in getattr(failed, "__notes__", [])]
    causes = re.findall(r"cause: (?:criu \w+: )?(.*?)(?:\s+\(log: .*)?$", str(failed), re.MULTILINE)
    return ": ".join([*steps, *causes[:1]]) or "the test itself did not get so far"


def page(lines: Lines, refusals: Lines) -> str:
    """Return the page for what a record has of programs and of refusals."""
    rows = [_row(program.what, lines.get(program.what)) for program in DECLARED]
    heads = ["program", "packages", *STEPS, "frozen", "kernel, criu, cgroups"]
    refused = [_refusal(what, refusals.get(what)) for what in CASES]
    return "\n".join(
        [
            _HEAD,
            *_table(heads, rows),
            _REFUSED,
            *_table(["what", "code", "what is said of it", "what helps"], refused),
            "",
        ]
    )


def _refusal(what: str, line: Line | None) -> Sequence[str]:
    if line is None:
        return [what, "", "not run", ""]
    return [what, line["code"], f"the process {line['what']}" if line["pid"] else line["what"], line["hint"]]


def _row(what: str, line: Line | None) -> Sequence[str]:
    if line is None:
        return [what, "", *["not run"] * len(STEPS), "", ""]
    if "failed" in line:
        return [what, "", "**fails** " + line["failed"], *[""] * (len(STEPS) - 1), "", line["where"]]
    versions = ", ".join(f"{name} {version}" for name, version in line["versions"].items())
    steps = ["works" if step in line["steps"] else "**no**" for step in STEPS]
    return [what, versions, *steps, f"{line['frozen_ms']} ms", line["where"]]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "| " + " | ".join("---" for _ in heads) + " |"
    for row in rows:
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in row) + " |"


def read() -> Record:
    """Return what the last runs showed."""
    with open(RECORD, encoding="utf-8") as file:
        return Record(**json.load(file))


def remember(what: str, line: Line) -> None:
    """Write a program's line into the record, and the page anew."""
    known = read()
    lines = {**known.programs, what: line}
    _write(Record({one.what: lines[one.what] for one in DECLARED if one.what in lines}, known.refusals))


def remember_refusals(lines: Lines) -> None:
    """Write what is said of each case that is refused into the record, and the page anew."""
    _write(Record(read().programs, lines))


def _write(record: Record) -> None:
    with open(RECORD, "w", encoding="utf-8") as file:
        json.dump(record._asdict(), file, indent=1)
        file.write("\n")
    write_page()


def write_page() -> None:
    """Make the page of the record as it is."""
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(page(*read()))


def where() -> str:
    """Return what the run stands on."""
    criu = shutil.which("criu", path=f"{_TOOLS}:{os.environ['PATH']}") or "criu"
    said = subprocess.run([criu, "--version"], check=True, capture_output=True, text=True).stdout
    version = said.splitlines()[0].split()[-1]
    cgroups = "v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "hybrid"
    return f"{platform.release().partition('-')[0]}, {version}, {cgroups}"


if __name__ == "__main__":
    write_page()
