"""The pinned packages of the private tool tree, as data: pins.txt and apt-packages.txt beside this file."""

import os

from limosa.model.value import NamedTuple


class Pin(NamedTuple):
    """One file of a Debian archive that is known by its SHA-256. `kind` is "deb" or "source"."""

    kind: str
    architecture: str
    package: str
    version: str
    sha256: str
    path: str


def _data(name: str) -> list[list[str]]:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return [line.split() for line in file if line.strip() and not line.startswith("#")]


def pins(kind: str, architecture: str) -> tuple[Pin, ...]:
    """Return the pins of one kind that fit `architecture` (Debian's name), in the order of the file."""
    found = [Pin(*fields) for fields in _data("pins.txt")]
    return tuple(pin for pin in found if pin.kind == kind and pin.architecture in (architecture, "any"))


def tree_name(files: tuple[Pin, ...]) -> str:
    """Return the name of the tree that is made of `files`: it changes when any of them does."""
    import hashlib

    text = "\n".join(f"{pin.package} {pin.version} {pin.sha256}" for pin in files)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def packages(group: str) -> list[str]:
    """Return the Debian packages of `group` ("run" or "dev"), sorted."""
    return sorted(fields[1] for fields in _data("apt-packages.txt") if fields[0] == group)
