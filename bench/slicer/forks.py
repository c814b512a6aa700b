"""How long the trial of a series takes: in forks of a warm container, in worktrees, and in worktrees from nothing.

    PYTHONPATH=src bench/slicer/forks.py CONTAINER [--files N] [--jobs N] [--rounds N]
    PYTHONPATH=src bench/slicer/forks.py CONTAINER --repository DIR --change BASE..HEAD --command CMD

CONTAINER is a running container of limosa with gcc and make; the machine needs both, too, of the same release for a fair
comparison. A C project of N files is made, and a change of 12 of them, whose slices pass as planned; or a change of a real
repository is tried by CMD. All three begin with the same plan. The rounds are interleaved, and no answer is kept from one to the next.
"""  # noqa: E501

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict

from limosa_slice.adapters.forks import ForkWorkspace
from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.adapters.worktrees import WorktreeWorkspace
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer
from limosa_slice.engine.oracle import Commands, Trial
from limosa_slice.engine.planning import Planner
from limosa_slice.engine.repair import Settler
from limosa_slice.ports.workspace import Workspace

KINDS = ("forks", "worktrees", "worktrees from nothing")
HISTORY, SIZE_LINES = 2000, 150
CHANGED, FUNCTIONS = 12, 40
MAKEFILE = """\
OBJECTS = main.o %s
prog: $(OBJECTS)
\t$(CC) -o $@ $(OBJECTS)
$(OBJECTS): all.h
%%.o: %%.c
\t$(CC) -O2 -Wall -Werror=implicit-function-declaration -c -o $@ $<
"""


def write(folder: str, files: int, *, changed: bool) -> None:
    """Write the project, before or after the change."""
    for file in range(files):
        more = changed and file < CHANGED
        text = ['#include "all.h"', ""]
        text += [f"static int extra_{file}(int v)", "{", f"\treturn v ^ {file};", "}", ""] if more else []
        for number in range(FUNCTIONS):
            text += [f"int work_{file}_{number}(int value)", "{", "\tchar text[80];", "\tint all = 0;"]
            text += [f"\tvalue = extra_{file}(value);"] if more and number == 3 else []
            text += [f'\tfor (int i = 0; i < value; i++)\n\t\tall += snprintf(text, sizeof text, "{file} %d", i);']
            text += [f"\treturn all + {number};", "}", ""]
        _put(f"{folder}/file{file}.c", "\n".join(text))
    names = [f"int work_{file}_{number}(int value);" for file in range(files) for number in range(FUNCTIONS)]
    _put(f"{folder}/all.h", "\n".join(["#include <stdio.h>", *names, ""]))
    _put(f"{folder}/main.c", '#include "all.h"\nint main(void)\n{\n\treturn work_0_0(0);\n}\n')
    _put(f"{folder}/Makefile", MAKEFILE % " ".join(f"file{n}.o" for n in range(files)))


def _put(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def project(folder: str, files: int) -> None:
    """Make a repository with two commits: before and after."""
    git = ["git", "-C", folder, "-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for changed in (False, True):
        write(folder, files, changed=changed)
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-qm", "after" if changed else "before"], check=True)


def trial(
    repository: GitRepository, ends: tuple[str, str], workspace: Workspace, command: str
) -> tuple[float, int, int]:
    """Return the seconds of a whole trial, its runs and its slices; all of them pass."""
    base, head = ends
    syntax = TreeSitterSyntax()
    change = read_change(repository, syntax, repository.tree_of(base), repository.tree_of(head))
    planner = Planner(change, syntax, repository.history(base, HISTORY))
    slices = planner.plan(SIZE_LINES)
    started = time.monotonic()
    try:
        tries = Trial(Composer(repository, change), workspace, Commands(command, None))
        whole = frozenset(range(len(change.atoms)))
        tries.ahead([frozenset(), whole])
        ended = tries.of(whole)
        assert ended.passed, ended.output
        settler = Settler(planner.graph, tries, None, lambda _: None, time.monotonic, float("inf"))
        done = settler.settle(slices)
        assert all(item.built for item in done)
    finally:
        workspace.close()
    return time.monotonic() - started, tries.runs, len(done)


def options_of(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("container")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repository")
    parser.add_argument("--change", default="main~1..main")
    parser.add_argument("--command", default="make -s")
    return parser.parse_args(argv)


def main() -> None:
    """Run and print."""
    options = options_of(sys.argv[1:])
    seconds: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        if not options.repository:
            project(folder, options.files)
        repository = GitRepository(options.repository or folder)
        base, head = map(repository.resolve, options.change.split(".."))
        for _ in range(options.rounds):
            for kind in KINDS:
                shutil.rmtree(os.path.join(repository.git_dir, "limosa-slice"), ignore_errors=True)
                if kind == "forks":
                    place: Workspace = ForkWorkspace(repository, base, options.container, 600, options.jobs)
                else:
                    place = WorktreeWorkspace(repository, base, 600, options.jobs)
                clean = "git clean -xdffq && " if kind == "worktrees from nothing" else ""
                took, runs, slices = trial(repository, (base, head), place, clean + options.command)
                seconds[kind].append(took)
                print(f"{kind}: {took:.1f} s, {runs} builds, {slices} slices", flush=True)
        repository.close()
    for kind, values in seconds.items():
        print(f"{kind:24} median {statistics.median(values):6.1f} s, all {[round(v, 1) for v in values]}")
    for other in KINDS[1:]:
        ratios = [a / b for a, b in zip(seconds[other], seconds["forks"], strict=True)]
        print(f"{other} ÷ forks, round by round: {[round(ratio, 2) for ratio in ratios]}")


if __name__ == "__main__":
    main()
