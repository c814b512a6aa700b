"""Run something in the virtual machine with a distribution kernel (tools/vm.py)."""

import os
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def in_vm(command: str, out: str, *files: str, time_limit_s: int = 1200) -> int:
    """Run `command` in the virtual machine; its output is in `out`/stdout, what it put into ./out in `out`/out."""
    argv = ["nsenter", f"--net={os.environ['LIMOSA_TEST_OUTER_NET']}", f"{HERE}/tools/vm.py", "run", "--out", out]
    argv += ["--time-limit", str(time_limit_s)]
    for path in files:
        argv += ["--file", path]
    return subprocess.run([*argv, "--", command], check=False, stdin=subprocess.DEVNULL).returncode


def said(out: str, stream: str = "stdout") -> str:
    """Return what the command printed."""
    with open(os.path.join(out, stream), encoding="utf-8", errors="replace") as file:
        return file.read()
