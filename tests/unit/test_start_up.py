"""What common commands load before they do anything. Sets, not times: a module more is seen here, on any machine."""

import json
import subprocess
import sys

import pytest

# Beside what Python loads by itself.
STANDARD = {
    *("collections", "contextlib", "copyreg", "enum", "errno", "fcntl", "functools", "itertools", "json", "keyword"),
    *("math", "operator", "re", "reprlib", "types", "typing", "binascii", "time", "signal", "select", "importlib"),
    "warnings",
}
# `start` has options that exclude each other, which are argparse's.
OF_ARGPARSE = {"argparse", "gettext", "locale"}
LIST = """
import json, sys
import os
before = set(sys.modules)
from limosa.cli import dispatch
dispatch.run(sys.argv[1:])
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def loaded(root: str, *argv: str) -> set[str]:
    """Return the modules that a command loaded."""
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LIST}", "--root", root, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.privileged
@pytest.mark.parametrize(
    "argv",
    [
        ("ps",),
        ("inspect", "nosuch"),
        ("logs", "nosuch"),
        ("exec", "nosuch", "true"),
        ("start", "nosuch"),
        ("stop", "nosuch"),
        ("rm", "nosuch"),
    ],
    ids=lambda argv: argv[0],
)
def test_a_common_command_loads_little(tmp_path: object, argv: tuple[str, ...]) -> None:
    found = loaded(str(tmp_path), *argv)
    top = {name.partition(".")[0] for name in found if not name.startswith("limosa")}
    assert {name for name in top if not name.startswith("_")} <= STANDARD | (
        OF_ARGPARSE if argv[0] == "start" else set()
    )
    adapters = {name for name in found if name.startswith("limosa.adapters.")}
    assert adapters <= {"limosa.adapters.file_records"}, "an adapter is made when it is first used"


@pytest.mark.privileged
def test_run_loads_no_module_that_costs_more_than_it_does(tmp_path: object) -> None:
    found = loaded(str(tmp_path), "run", "--rm", "--pull", "never", "nosuch", "true")
    dear = {
        "argparse",
        "subprocess",
        "shutil",
        "hashlib",
        "socket",
        "ctypes",
        "ipaddress",
        "platform",
        "dataclasses",
        "threading",
    }
    assert not found & (dear | {"inspect", "pathlib", "logging", "asyncio", "tempfile", "random"})
