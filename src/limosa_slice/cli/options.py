"""What a person may say to the command."""

import argparse
import os
import re
from difflib import get_close_matches
from typing import Any, NoReturn

VERBS = ("plan", "apply", "check", "explain")
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

EPILOG = """\
without a verb: plan, try and write a series
  limosa slice BASE..HEAD|PATCH [-o BRANCH] [--format-patch DIR] [--build CMD] [--test CMD]
  limosa slice plan BASE..HEAD|PATCH [--plan FILE]     write an editable plan
  limosa slice apply PLAN                              carry an edited plan out
  limosa slice check BASE..HEAD --build CMD            try each commit of any series
  limosa slice explain HUNK --plan FILE                say why a hunk is where it is
"""


def duration_s(text: str) -> float:
    """Return the seconds of "90", "90s", "30m", "2h". Raises: argparse.ArgumentTypeError: it is none of these."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text.strip())
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 90s, 30m or 2h")
    return float(match[1]) * _UNITS_S[match[2]]


def _positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


class _Parser(argparse.ArgumentParser):
    """Says what was meant instead of how everything is used."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        self._said = list(args or ())
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        words = [word.partition("=")[0] for word in message.split()]
        options = [option for action in self._actions for option in action.option_strings]
        known = [near for word in words if word.startswith("--") for near in get_close_matches(word, options, 1)]
        if "unrecognized" in message and not known:
            known = [near for word in self._said for near in get_close_matches(word, VERBS, 1)]
        meant = f"; did you mean {known[0]}?" if known else ""
        self.exit(2, f"{self.prog}: {message}{meant}\n  {self.prog} --help tells what there is\n")


def parser() -> argparse.ArgumentParser:
    """Return the parser; the verb has been taken away from the arguments before."""
    made = _Parser(
        prog="limosa slice",
        description="Slice one huge change into an ordered series of small commits whose sum is the change.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("input", help="BASE..HEAD or a patch file; apply: a plan; explain: a hunk such as h12")
    made.add_argument("--repo", default=".", metavar="DIR", help="the repository (default: here)")
    made.add_argument("--base", default="HEAD", metavar="COMMIT", help="what a patch file applies to (default: HEAD)")
    made.add_argument(
        "--size", type=_positive, default=150, metavar="LINES", help="lines of a slice to aim at most at (150)"
    )
    trial = made.add_argument_group("trial of every slice")
    trial.add_argument("--build", metavar="CMD", help="a line for the shell, run in a checkout of each slice")
    trial.add_argument("--test", metavar="CMD", help="the same; a failure is run again before it is believed")
    trial.add_argument("--max-time", type=duration_s, default=None, metavar="TIME", help="stop trying then (30m, 2h)")
    trial.add_argument("--timeout", type=duration_s, default=600.0, metavar="TIME", help="for one build or test (10m)")
    trial.add_argument("--jobs", "-j", type=_positive, default=min(4, os.cpu_count() or 1), metavar="N", help="slices tried at once")  # fmt: skip  # noqa: E501
    trial.add_argument("--in", dest="container", default="none", metavar="CONTAINER|none", help="build and test in forks of this running container of limosa, each warm from the nearest slice that was built (none: git worktrees)")  # fmt: skip  # noqa: E501
    result = made.add_argument_group("result")
    result.add_argument("-o", "--output", dest="branch", metavar="BRANCH", help="point this new branch at the series")
    result.add_argument("--force", action="store_true", help="move BRANCH if it exists")
    result.add_argument("--format-patch", metavar="DIR", help="write the series as mails with a cover letter")
    result.add_argument("--plan", metavar="FILE", help="write the plan there; explain reads it")
    result.add_argument("--html", metavar="FILE", help="write one page: graph, series, diffs")
    result.add_argument("--describe", metavar="CMD", help="writes each message: the diff on its standard input, our message in LIMOSA_SLICE_MESSAGE")  # fmt: skip  # noqa: E501
    return made
