"""The limosa command with a root of its own: what tests, the demo and the benchmarks drive."""

import json
import subprocess
from typing import Any

from tests import imported
from tests.imported import LIMOSA


class Limosa:
    """The command, with a root of its own."""

    def __init__(self, root: str, prefix: tuple[str, ...] = (), patience_s: float = 120) -> None:
        """`prefix` executes a command where this host is, if it is not here; `patience_s` is how long one may take."""
        self.root = root
        self.prefix = prefix
        self.patience_s = patience_s

    def __call__(self, *args: str, status: int = 0, stdin: str = "", timeout: float | None = None) -> str:
        """Run the command; its status must be `status`. Returns standard output (and the error for another status)."""
        done = subprocess.run(
            [*self.prefix, LIMOSA, "--root", self.root, *args],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout or self.patience_s,
            check=False,
        )
        assert done.returncode == status, f"limosa {' '.join(args)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout if status == 0 else done.stdout + done.stderr

    def has_image(self, name: str, archive: str) -> None:
        """Let the root have what `image import ARCHIVE NAME` makes, from what all tests share."""
        imported.give(self.root, archive, name)

    def logs(self, name: str) -> str:
        """Return what a container printed, both streams."""
        argv = [*self.prefix, LIMOSA, "--root", self.root, "logs", name]
        return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout

    def records(self) -> dict[str, Any]:
        """Return every container's record by name."""
        return {record["config"]["name"]: record for record in json.loads(self("ps", "-a", "--json"))}
