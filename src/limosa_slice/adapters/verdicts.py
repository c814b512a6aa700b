"""What commands said of trees, kept in the repository by (tree, command, toolchain)."""

import hashlib
import json
import os
import threading

from limosa_slice.ports.workspace import Verdict

TOOLS = ("cc", "make", "python3", "go", "rustc")
PROBE = "; ".join(f"command -v {tool} && {tool} --version" for tool in TOOLS)  # what a shell says of the toolchain


class Verdicts:
    """The answers of one place to build in; `toolchain` is whatever tells its tools from others."""

    def __init__(self, git_dir: str, toolchain: bytes) -> None:
        self._folder = os.path.join(git_dir, "limosa-slice", "verdicts")
        self._toolchain = hashlib.sha256(toolchain).hexdigest()

    def find(self, tree: str, command: str) -> Verdict | None:
        """Return what was said before, or None."""
        try:
            with open(self._name(tree, command)) as file:
                return Verdict(**{**json.load(file), "cached": True})
        except FileNotFoundError:
            return None

    def keep(self, tree: str, command: str, verdict: Verdict) -> None:
        """Remember a verdict; a reader sees all of it or nothing."""
        name = self._name(tree, command)
        os.makedirs(self._folder, exist_ok=True)
        new = f"{name}.{os.getpid()}.{threading.get_ident()}.new"
        fields = {
            "passed": verdict.passed, "output": verdict.output, "seconds": verdict.seconds, "flaky": verdict.flaky
        }  # fmt: skip
        with open(new, "w") as file:
            json.dump(fields, file)
        os.replace(new, name)

    def _name(self, tree: str, command: str) -> str:
        key = hashlib.sha256("\0".join((tree, command, self._toolchain)).encode()).hexdigest()
        return os.path.join(self._folder, key)
