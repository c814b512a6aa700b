"""The kernel's own review scripts, where the tree has them: scripts/checkpatch.pl and scripts/get_maintainer.pl.

They are run in a folder with the tree's top-level files and `scripts/`, and empty folders for the rest: that is what
they look for. They come from the tree under review, as a build command's scripts do.
"""

import os
import tempfile
from collections.abc import Sequence

from limosa_slice.adapters import process
from limosa_slice.adapters.git import GitRepository, encode

TIMEOUT_S = 300.0
CHECKPATCH, MAINTAINER = "scripts/checkpatch.pl", "scripts/get_maintainer.pl"


def review(repository: GitRepository, tree: str, mails: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return what checkpatch says of the mails, as lines, and whom get_maintainer names. Both empty without scripts."""
    have = [script for script in (CHECKPATCH, MAINTAINER) if repository.read_path(tree, script) is not None]
    if not have:
        return [], []
    with tempfile.TemporaryDirectory(prefix="limosa-slice-") as folder:
        _lay_out(repository, tree, folder)
        paths = [os.path.abspath(mail) for mail in mails]
        notes: list[str] = []
        to: list[str] = []
        if CHECKPATCH in have:
            # Nobody has signed off yet, and nobody but the author may.
            done = _run(folder, CHECKPATCH, "--terse", "--no-signoff", "--no-summary", "--show-types", *paths)
            found = done.stdout.decode(errors="replace").strip().splitlines()
            names = [line.rsplit("/", 1)[-1] if line.startswith("/") else line for line in found]
            notes = [f"{CHECKPATCH}: {len(found)} remarks", *(f"  {name}" for name in names)]
        if MAINTAINER in have:
            done = _run(folder, MAINTAINER, "--nogit", "--nogit-fallback", "--norolestats", "--no-tree", *paths)
            if done.status:  # older scripts know fewer options
                done = _run(folder, MAINTAINER, "--nogit", "--norolestats", *paths)
            to = [line for line in done.stdout.decode(errors="replace").splitlines() if "@" in line]
    return notes, list(dict.fromkeys(to))


def _run(folder: str, script: str, *args: str) -> process.Finished:
    return process.run(["perl", f"./{script}", *args], cwd=folder, timeout_s=TIMEOUT_S)


def _lay_out(repository: GitRepository, tree: str, folder: str) -> None:
    listing = repository.must("ls-tree", "-z", "--full-tree", tree) + repository.must(
        "ls-tree", "-r", "-z", "--full-tree", tree, "scripts/"
    )
    for record in listing.split(b"\0")[:-1]:
        entry, _, path = record.partition(b"\t")
        mode, kind, oid = entry.decode().split()
        place = os.path.join(encode(folder), path)
        if kind == "tree":
            os.makedirs(place, exist_ok=True)
        elif mode.startswith("100"):
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as file:
                file.write(repository.blob(oid))
            os.chmod(place, int(mode[-3:], 8))
