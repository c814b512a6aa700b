"""Leases: which running command reads which commits, so that a collection leaves those alone.

A lease names its owner by pid and start time; it ends with the owner, however that ends.
"""

import os

from limosa.linux import process
from limosa.model import json_text
from limosa.model.commit_store import ObjectId


def take(directory: str, commits: list[ObjectId], pid: int | None = None) -> str:
    """Write a lease of this process (or `pid`) on `commits` and return its path. The caller holds the store's lock."""
    owner = os.getpid() if pid is None else pid
    lease = {"pid": owner, "start_ticks": process.start_ticks(owner), "commits": [commit.hex() for commit in commits]}
    path = f"{directory}/{os.urandom(8).hex()}"
    with open(f"{path}.new", "w", encoding="ascii") as file:  # not synced: it means nothing after a power failure
        file.write(json_text.dumps(lease))
    os.rename(f"{path}.new", path)
    return path


def end(path: str) -> None:
    """End a lease; nothing happens if it has ended."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def held(directory: str) -> set[ObjectId]:
    """Return the commits that running processes have leases on; remove the leases of those that ended."""
    commits: set[ObjectId] = set()
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        if name.endswith(".new"):  # being written; what a crash leaves of one says nothing
            continue
        try:
            with open(path, encoding="ascii") as file:
                lease = json_text.loads(file.read())
            alive = process.alive(int(lease["pid"]), int(lease["start_ticks"]))
            named = {ObjectId(bytes.fromhex(commit)) for commit in lease["commits"]}
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            continue  # somebody else's file
        if alive:
            commits |= named
        else:
            end(path)
    return commits
