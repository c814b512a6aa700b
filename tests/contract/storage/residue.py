"""What a pool may have left behind."""

import os

from tests.waiting import eventually


def devices_below(root: str) -> list[str]:
    """Return the files below `root` that are attached to loop devices."""
    found = []
    for name in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{name}/loop/backing_file", encoding="utf-8") as file:
                path = file.read().strip()
        except OSError:
            continue
        if path.startswith(root):
            found.append(path)
    return found


def await_detached(root: str) -> None:
    """Fail if a file below `root` stays attached: whoever looks at a device keeps it for that moment."""
    eventually(lambda: not devices_below(root))


def left_in(root: str) -> list[str]:
    """Return what lies in a pool although no container is left."""
    pool = f"{root}/storage"
    return [
        f"{kind}/{name}"
        for kind in ("containers", "snapshots", "located", "staging")
        for name in os.listdir(f"{pool}/{kind}")
    ]
