"""`limosa slice --in`: a C project is built in forks of a warm container, from the nearest prefix that was built."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import LIMOSA, Limosa

pytestmark = pytest.mark.privileged

FILES, CHANGED = 20, 3
# What is compiled is logged, so a test sees what a build found there.
MAKEFILE = """\
OBJECTS = main.o %s
prog: $(OBJECTS)
\tgcc -o $@ $(OBJECTS)
%%.o: %%.c
\techo $< >> compiled
\tgcc -Wall -Werror=implicit-function-declaration -c -o $@ $<
"""


def git(folder: Path, *args: str) -> str:
    identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    done = subprocess.run(["git", "-C", folder, *identity, *args], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def part(number: int, changed: bool) -> str:
    """Return a file; the change adds a function that only this file uses."""
    extra = f"static int extra_{number}(int v)\n{{\n\treturn v ^ {number};\n}}\n\n" if changed else ""
    call = f"\tvalue = extra_{number}(value);\n" if changed else ""
    return f"{extra}int part_{number}(int value)\n{{\n{call}\treturn value + {number};\n}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "Makefile").write_text(MAKEFILE % " ".join(f"part{n}.o" for n in range(FILES)))
    (folder / "main.c").write_text("int part_0(int);\nint main(void)\n{\n\treturn part_0(0);\n}\n")
    for changed in (False, True):
        for number in range(FILES):
            (folder / f"part{number}.c").write_text(part(number, changed and number < CHANGED))
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "more" if changed else "base")
    return folder


def sliced(limosa: Limosa, project: Path, *args: str) -> subprocess.CompletedProcess[str]:
    argv = [LIMOSA, "--root", limosa.root, "slice", "main~1..main", "--repo", str(project), *args]
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)


def test_slices_are_built_in_forks_of_a_warm_container(limosa: Limosa, gcc_rootfs: str, project: Path) -> None:
    """Each build finds what was built before it, in files and in memory, and compiles only what its slice changed."""
    limosa("image", "import", gcc_rootfs, "gcc")
    # What the container has in memory only: a process that answers. Every fork has to have it.
    answer = "mkfifo /tmp/ask /tmp/answer; n=41; while read x </tmp/ask; do n=$((n + 1)); echo $n >/tmp/answer; done"
    limosa("run", "-d", "--name", "builder", "--network", "none", "gcc", "sh", "-c", answer)
    test = "make -s && wc -l < compiled && echo x > /tmp/ask && test $(cat /tmp/answer) = 42"
    done = sliced(limosa, project, "--build", "make -s", "--test", test, "--in", "builder", "-j", "2", "-o", "series")
    assert done.returncode == 0, done.stdout + done.stderr
    assert git(project, "rev-parse", "series^{tree}") == git(project, "rev-parse", "main^{tree}")
    slices = int(git(project, "rev-list", "--count", "main~1..series"))
    assert slices >= 2
    assert done.stdout.count("yes    yes") == slices
    kept = [json.loads(file.read_text()) for file in (project / ".git/limosa-slice/verdicts").iterdir()]
    counts = [int(line) for verdict in kept for line in verdict["output"].splitlines() if line.isdigit()]
    whole = FILES + 1
    assert len(counts) == slices + 1, "the whole change is its last prefix; the base is tried, too"
    assert all(whole <= count <= whole + slices * CHANGED for count in counts), "all of it was compiled only once"
    assert list(limosa.records()) == ["builder"], "no fork is left"
    assert limosa("log", "builder").count("\n") <= 1, "and no commit"
    limosa("exec", "builder", "sh", "-c", "test ! -e /var/tmp/limosa-slice")
    # The container itself has not been asked: its process still counts from the start.
    assert limosa("exec", "builder", "sh", "-c", "echo x > /tmp/ask; cat /tmp/answer").strip() == "42"


def test_a_slice_that_does_not_build_is_mended_by_what_the_container_s_compiler_says(
    limosa: Limosa, gcc_rootfs: str, project: Path
) -> None:
    limosa("image", "import", gcc_rootfs, "gcc")
    limosa("run", "-d", "--name", "builder", "--network", "none", "gcc", "sleep", "1000")
    plan = project / "plan"
    assert sliced(limosa, project, "--plan", str(plan)).returncode == 0
    # A plan that has each call before its function: the compiler in the container has to object.
    head, *slices = plan.read_text().split("\nslice ")
    hunks = [line for text in slices for line in text.splitlines()[1:] if line.strip()]
    bad = [f"slice call {n}\n{line}" for n, line in enumerate(reversed(hunks))]
    plan.write_text(head + "\n" + "\n\n".join(bad) + "\n")
    argv = [LIMOSA, "--root", limosa.root, "slice", "apply", str(plan), "--repo", str(project)]
    done = subprocess.run(
        [*argv, "--build", "make -s", "--in", "builder", "-j", "1", "--plan", str(plan)],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "misses extra_" in plan.read_text()
    assert "FAILS" not in done.stdout
    assert list(limosa.records()) == ["builder"]


def test_a_container_that_is_not_there_is_refused(limosa: Limosa, project: Path) -> None:
    done = sliced(limosa, project, "--build", "make", "--in", "nobody")
    assert done.returncode == 1
    assert "LIM-SLICE-052" in done.stderr
    assert "LIM-NAME-003" in done.stderr
