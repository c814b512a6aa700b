#!/usr/bin/env python3
"""Run the tier of each change, in two lanes beside each other where two test runs can be (docs/adr/0041).

Each lane is `tools/test change PARTS…`, with a mount and a network namespace and cgroups of its own. What the first
prints is shown as it comes; what the second printed follows when both have ended. The status is 1 if one failed.
"""

import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LANES = (("e2e",), ("unit", "slice", "contract", "privileged", "fault", "vm"))


def beside() -> bool:
    """Say whether each can have cgroups of its own, so that neither counts the other's (tests/own_cgroup.py)."""
    ask = "import sys; from tests import own_cgroup; sys.exit(not own_cgroup.possible())"
    return subprocess.run([f"{HERE}/.venv/bin/python", "-c", ask], check=False, cwd=HERE).returncode == 0


def command(parts: tuple[str, ...]) -> list[str]:
    """Return what runs these parts."""
    return [f"{HERE}/tools/test", "change", *(f"tests/{part}" for part in parts)]


def main() -> int:
    """Run them."""
    known = sorted(name for name in os.listdir(f"{HERE}/tests") if any_test(f"{HERE}/tests/{name}"))
    assert known == sorted(part for lane in LANES for part in lane), f"the lanes are not all tests: {known}"
    if not beside():
        return subprocess.run(command(tuple(part for lane in LANES for part in lane)), check=False).returncode
    shown, *others = LANES
    with tempfile.TemporaryFile() as said:
        waiting = [subprocess.Popen(command(lane), stdout=said, stderr=said) for lane in others]
        failed = subprocess.run(command(shown), check=False).returncode != 0
        for lane in waiting:
            failed |= lane.wait() != 0
        said.seek(0)
        sys.stdout.buffer.write(said.read())
    return int(failed)


def any_test(directory: str) -> bool:
    """Say whether there are tests below a directory."""
    return any(name.startswith("test_") for _, _, names in os.walk(directory) for name in names)


if __name__ == "__main__":
    sys.exit(main())
