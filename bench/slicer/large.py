"""How long a plan of one change of many hunks takes, and how much memory.

    PYTHONPATH=src bench/slicer/large.py [HUNKS [JSON_FILE]]

200 C files; each hunk edits one function. Of the hunks, a part is one systematic substitution, a part belongs to one of 300
subjects that share a name, a part to nothing else, and every tenth adds a function that another hunk calls.
"""  # noqa: E501

import json
import random
import resource
import subprocess
import sys
import tempfile
import time

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.planning import Planner
from limosa_slice.model.change import Entry

FILES, SUBJECTS = 200, 300


def sides(hunks: int, chance: random.Random) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Return the files before and after."""
    old, new = {}, {}
    for file in range(FILES):
        before, after = [], []
        for number in range(hunks // FILES):
            name, subject, kind = f"work_{file}_{number}", chance.randrange(SUBJECTS), chance.random()
            body = [f"int {name}(int value)", "{", f"\tint local_{number} = value;", "\tlog_old(value);", "",
                    f"\treturn local_{number} + {number};", "}", ""]  # fmt: skip
            changed = list(body)
            if kind < 0.2:
                changed[3] = "\tlog_new(value);"
            elif kind < 0.7:
                changed[3] = f"\tsubject_{subject}_check(value);\n\tlog_old(value);"
            elif kind < 0.9:
                changed[5] = f"\treturn local_{number} + {number + 1};"
            else:
                changed[3] = f"\tfresh_{file}_{number + 1}(value);"
                changed.insert(0, f"static void fresh_{file}_{number}(int v)\n{{\n\t(void) v;\n}}\n")
            before += body
            after += changed
        path = f"dir{file % 12}/file{file}.c"
        old[path], new[path] = "\n".join(before).encode(), "\n".join(after).encode()
    return old, new


def main() -> None:
    """Make the change, plan it, print the times."""
    hunks = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "init", "-q", folder], check=True)
        repository, syntax = GitRepository(folder), TreeSitterSyntax()
        empty = repository.must("mktree").decode().strip()
        trees = []
        for side in sides(hunks, random.Random(7)):
            oids = repository.write_blobs(list(side.values()))
            trees.append(repository.write_tree(empty, {p: Entry("100644", o) for p, o in zip(side, oids, strict=True)}))
        started = time.monotonic()
        change = read_change(repository, syntax, *trees)
        read = time.monotonic()
        planner = Planner(change, syntax, [])
        known = time.monotonic()
        slices = planner.plan(150)
        done = time.monotonic()
        most_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        if len(sys.argv) > 2:
            row = {
                "atoms": len(change.atoms), "seconds": round(done - started, 1),
                "processor_seconds": round(time.process_time(), 1), "mib": most_mib, "slices": len(slices),
            }  # fmt: skip
            with open(sys.argv[2], "w") as file:
                json.dump(row, file)
        print(
            f"{len(change.atoms)} atoms in {len(change.files)} files: read {read - started:.1f} s, facts and edges"
            f" {known - read:.1f} s, plan {done - known:.1f} s, in all {done - started:.1f} s; {len(slices)} slices,"
            f" {time.process_time():.1f} s of processor time, {most_mib} MiB"
        )
        repository.close()


if __name__ == "__main__":
    main()
