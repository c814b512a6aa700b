"""limosa slice: another program, which shares nothing with containers; this process becomes it."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

EXAMPLES = """\
examples:
  limosa slice main..big-change -o series --build 'make -j4' --test 'make check'
  limosa slice plan huge.patch --base v1.0 --plan plan.txt
  limosa slice apply plan.txt --format-patch mails
  limosa slice main..big-change -o series --build make --in builder   (in forks of the container "builder")"""

_OPTIONS: Final = (
    ("--repo", "DIR", "the repository (default: here)"),
    ("--base", "COMMIT", "what a patch file applies to (default: HEAD)"),
    ("--size", "LINES", "aim at slices of no more lines (default: 150)"),
    ("--build", "CMD", "try each slice: a line for the shell"),
    ("--test", "CMD", "the same; a failure is run again before it is believed"),
    ("--max-time", "TIME", "stop trying then: 90s, 30m, 2h"),
    ("--timeout", "TIME", "for one build or test (default: 10m)"),
    ("--jobs", "N", "slices tried at once"),
    ("--in", "CONTAINER|none", "build in forks of a running container, each of the nearest slice that is built"),
    ("-o,--output", "BRANCH", "point this new branch at the series"),
    ("--force", "", "move BRANCH if it exists"),
    ("--format-patch", "DIR", "write the series as mails with a cover letter"),
    ("--plan", "FILE", "write the plan there; explain reads it"),
    ("--html", "FILE", "write one page: graph, series, diffs"),
    ("--describe", "CMD", "a command that writes the messages"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Name the options, for help and completion; `limosa_slice` reads them itself."""
    for option, metavar, what in _OPTIONS:
        names = option.split(",")
        if metavar:
            parser.add_argument(*names, metavar=metavar, help=what)
        else:
            parser.add_argument(*names, action="store_true", help=what)
    parser.add_argument("input", nargs="*", metavar="[plan|apply|check|explain] BASE..HEAD|PATCH|PLAN|HUNK")


def run(args: argparse.Namespace) -> int:
    """Never reached: `replace_process` comes first."""
    raise AssertionError(args)


def replace_process(arguments: Sequence[str], root: str | None) -> NoReturn:
    """Become `limosa_slice`. -P: the folder that we are in may hold anything, and no module is taken from it.

    With --in it calls limosa's verbs, by the command that it is told here.
    """
    python = [sys.executable, "-P", "-m"]
    limosa = [*python, "limosa", *(["--root", root] if root else [])]
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in limosa)
    os.execve(sys.executable, [*python, "limosa_slice", *arguments], {**os.environ, "LIMOSA_COMMAND": quoted})
