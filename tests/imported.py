"""Images that all tests share: importing a Debian takes longer than most tests.

    <cache>/imported/<archive>-<state>/oci, layers     a root of limosa's into which `image import` was run, once per
                                                       archive and state of the code that imports

A test's root gets the blobs by hard links and each layer by a symbolic link, as containers share it: read-only, below
an overlay. `changed` says whether a test wrote to one all the same.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from typing import Any

from limosa.model.oci import REF_NAME

LIMOSA = os.path.abspath(".venv/bin/limosa")
CACHE = os.environ.get("LIMOSA_TEST_CACHE", "/var/cache/limosa-tests")
_PLACE = f"{CACHE}/imported"
_IMPORTERS = ("src/limosa/adapters/oci_images", "src/limosa/model/oci.py")
_OLD_S = 86400
_used: set[str] = set()


def give(root: str, archive: str, name: str) -> None:
    """Let `root` have the image that `image import ARCHIVE NAME` would make there. No command is at work there."""
    source = _imported(archive)
    os.makedirs(f"{root}/layers", mode=0o700, exist_ok=True)
    for layer in os.listdir(f"{source}/layers"):
        with contextlib.suppress(FileExistsError):
            os.symlink(f"{source}/layers/{layer}", f"{root}/layers/{layer}")
    for below in ("blobs/sha256", "known"):
        os.makedirs(f"{root}/oci/{below}", mode=0o700, exist_ok=True)
        for file in os.listdir(f"{source}/oci/{below}"):
            with contextlib.suppress(FileExistsError):
                os.link(f"{source}/oci/{below}/{file}", f"{root}/oci/{below}/{file}")
    index = _index(source)
    index["manifests"][0]["annotations"][REF_NAME] = f"localhost/{name}:latest"
    if os.path.exists(f"{root}/oci/index.json"):
        index["manifests"] += _index(root)["manifests"]
    with open(f"{root}/oci/index.json", "w", encoding="utf-8") as file:
        json.dump(index, file)


def _index(root: str) -> Any:
    with open(f"{root}/oci/index.json", encoding="utf-8") as file:
        return json.load(file)


def changed() -> list[str]:
    """Return a file of each layer that was written to after it had been imported."""
    found = []
    for source in sorted(_used):
        argv = ["find", f"{source}/layers", "-mindepth", "1", "-newercm", f"{source}/imported", "-print", "-quit"]
        found += subprocess.run(argv, check=True, text=True, capture_output=True).stdout.splitlines()
    return found


def _imported(archive: str) -> str:
    status = os.stat(archive)
    state = hashlib.sha256(f"{archive} {status.st_size} {status.st_mtime_ns}".encode())
    for file in _sources():
        with open(file, "rb") as opened:
            state.update(opened.read())
    os.makedirs(_PLACE, exist_ok=True)
    place = f"{_PLACE}/{os.path.basename(archive)}-{state.hexdigest()[:12]}"
    if place not in _used:
        with open(f"{_PLACE}/lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not os.path.exists(place):
                _import(archive, place)
                _remove_old()
            os.utime(place)
        _used.add(place)
    return place


def _sources() -> list[str]:
    """Return the files that decide what an import makes."""
    package, *others = _IMPORTERS
    return [*(f"{package}/{name}" for name in sorted(os.listdir(package)) if name.endswith(".py")), *others]


def _import(archive: str, place: str) -> None:
    root = tempfile.mkdtemp(prefix=".new-", dir=_PLACE)
    try:
        subprocess.run(
            [LIMOSA, "--root", root, "image", "import", archive, "imported"], check=True, capture_output=True
        )
        with open(f"{root}/imported", "w", encoding="ascii"):
            pass
        os.rename(root, place)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _remove_old() -> None:
    """Remove what no run of the last day has used, and what runs that were killed began."""
    for name in os.listdir(_PLACE):
        path = f"{_PLACE}/{name}"
        if os.path.isdir(path) and os.stat(path).st_mtime < time.time() - _OLD_S:
            shutil.rmtree(path)
