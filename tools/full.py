#!/usr/bin/env python3
"""Run every test, part by part, and write what came of it into docs/test-results.md.

    tools/full.py             every part, as `make test-full`
    tools/full.py vm kills    these parts; what the others gave the last time stays, each with its own commit and date

Each part is `tools/test full` of some tests; its row is written as soon as it has ended. The status is 1 if one failed.
"""

import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from typing import NamedTuple

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RESULTS = f"{HERE}/docs/test-results.md"
_KILLS = "tests/fault/test_kill_everywhere.py"
_OF_COMMITS = "checkpoint or restore or rewind or mount or fork or pool or verify or forget"
PARTS = {
    "unit": ("tests/unit",),
    "slice": ("tests/slice",),
    "contract": ("tests/contract",),
    "privileged": ("tests/privileged",),
    "e2e": ("tests/e2e", "--ignore=tests/e2e/matrix"),
    "matrix": ("tests/e2e/matrix",),
    "kills": (_KILLS, "-k", "some_points"),
    "kills-commits": (_KILLS, "-k", f"many_points and ({_OF_COMMITS})"),
    "kills-containers": (_KILLS, "-k", f"many_points and not ({_OF_COMMITS})"),
    "migrations": ("tests/fault/test_migration_faults.py",),
    "fallbacks": ("tests/fault/test_fallback_faults.py",),
    "resets": ("tests/fault/test_migration_resets.py",),
    "vm": ("tests/vm",),
}
HEAD = """\
# The last run of every test

Written by `make test-full` (`tools/full.py`), a row a part, each with the commit that it ran on. A part that was not
run with the others keeps the row of its own last run. Skipped is what the machine lacks; any other skip fails the run.

| part | passed | failed | skipped | took | commit | when | kernel |
|---|---|---|---|---|---|---|---|
"""
ROW = re.compile(r"^\| (?P<part>[\w-]+) \|.*\|$", re.MULTILINE)
SKIPS = "\n## Skipped\n"
SKIP = re.compile(r"^- (?P<part>[\w-]+): .*$", re.MULTILINE)


class Outcome(NamedTuple):
    """A part's row, the lines that say what was skipped, and whether all is well."""

    row: str
    skips: list[str]
    fine: bool


def run(part: str) -> Outcome:
    """Run a part."""
    began, when, ran_on = time.monotonic(), time.strftime("%Y-%m-%d %H:%M", time.gmtime()), commit()
    with tempfile.TemporaryDirectory() as directory:
        report = f"{directory}/report.xml"
        argv = [f"{HERE}/tools/test", "full", *PARTS[part], f"--junitxml={report}"]
        status = subprocess.run(argv, check=False, cwd=HERE).returncode
        cases = list(ET.parse(report).iter("testcase")) if os.path.exists(report) else []  # noqa: S314 - pytest's own
    skipped = [(case, found) for case in cases if (found := case.find("skipped")) is not None]
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    passed = len(cases) - len(skipped) - failed
    told = "" if status == 0 or failed else f" (status {status})"
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    cells = (part, passed, f"{failed}{told}", len(skipped), f"{minutes}:{seconds:02} min", ran_on, when, kernel())
    reasons = sorted({f"- {part}: {case.get('name')}: {found.get('message')}" for case, found in skipped})
    return Outcome(f"| {' | '.join(map(str, cells))} |", reasons, status == 0)


def commit() -> str:
    """Return the commit of the checkout, and whether it was changed since."""
    head = subprocess.run(
        ["git", "rev-parse", "--short=10", "HEAD"], cwd=HERE, check=True, capture_output=True, text=True
    )
    argv = ["git", "status", "--porcelain", "--", ".", ":!docs/test-results.md"]
    changed = subprocess.run(argv, cwd=HERE, check=True, capture_output=True).stdout
    return f"{head.stdout.strip()}{' and changes' if changed else ''}"


def kernel() -> str:
    """Return the release of the kernel, and which cgroups there are."""
    layout = "cgroup v2" if os.path.exists("/sys/fs/cgroup/cgroup.controllers") else "hybrid cgroups"
    return f"Linux {platform.release().split('-')[0]}, {layout}"


def write(part: str, outcome: Outcome) -> None:
    """Put a part's outcome into the document, in the place of its last one."""
    known = ""
    if os.path.exists(RESULTS):
        with open(RESULTS, encoding="utf-8") as file:
            known = file.read()
    rows = {match["part"]: match[0] for match in ROW.finditer(known) if match["part"] in PARTS} | {part: outcome.row}
    skips = [match[0] for match in SKIP.finditer(known) if match["part"] != part] + outcome.skips
    text = HEAD + "".join(f"{rows[name]}\n" for name in PARTS if name in rows)
    missing = [name for name in PARTS if name not in rows]
    text += f"\nNever run: {', '.join(missing)}.\n" if missing else ""
    text += SKIPS + "".join(
        f"{line}\n" for line in sorted(skips, key=lambda line: list(PARTS).index(line[2:].split(":")[0]))
    )
    with open(RESULTS, "w", encoding="utf-8") as file:
        file.write(text if skips else text.removesuffix(SKIPS))


def main(parts: list[str]) -> int:
    """Run them."""
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        print(f"there is no part {unknown[0]}: {' '.join(PARTS)}", file=sys.stderr)
        return 2
    fine = True
    for part in parts or PARTS:
        print(f"== {part}", flush=True)
        outcome = run(part)
        write(part, outcome)
        fine = fine and outcome.fine
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
