"""Roots with images, and a registry on loopback."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator

import pytest
from archives import program
from tests.fakes.oci_images import FakeImages, FakeRegistry
from tests.registry_process import RegistryProcess

from limosa.adapters.oci_images.adapter import LayoutImages
from limosa.ports.oci_images import OciImages

BUILD_HOST_ID = (1 << 29) - 65536


@pytest.fixture
def new_root() -> Iterator[Callable[[], str]]:
    """Make a root directory, which the users of builds can enter."""
    made: list[str] = []

    def make() -> str:
        made.append(tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp"))
        os.chmod(made[-1], 0o711)
        return made[-1]

    yield make
    for root in made:
        shutil.rmtree(root)


@pytest.fixture
def root(new_root: Callable[[], str]) -> str:
    return new_root()


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.privileged), "fake"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which adapter is tested."""
    found: str = request.param
    return found


@pytest.fixture
def new_images(kind: str, new_root: Callable[[], str], registries: list[FakeRegistry]) -> Callable[[str], OciImages]:
    """Make the images of a root."""

    def make(root: str) -> OciImages:
        return FakeImages(root, registries) if kind == "fake" else LayoutImages(root, program, BUILD_HOST_ID)

    return make


@pytest.fixture
def registries() -> list[FakeRegistry]:
    """The registries that fakes reach."""
    return []


@pytest.fixture
def images(root: str, new_images: Callable[[str], OciImages]) -> OciImages:
    return new_images(root)


@pytest.fixture
def second(new_root: Callable[[], str], new_images: Callable[[str], OciImages]) -> OciImages:
    """The images of another root."""
    return new_images(new_root())


@pytest.fixture
def registry(kind: str, registries: list[FakeRegistry], tmp_path: object) -> Iterator[RegistryProcess | FakeRegistry]:
    """A registry without passwords."""
    running: RegistryProcess | FakeRegistry
    if kind == "fake":
        running = FakeRegistry("127.0.0.1:5000")
        registries.append(running)
    else:
        running = RegistryProcess(str(tmp_path))
    yield running
    running.stop()


@pytest.fixture
def closed_registry(
    kind: str, registries: list[FakeRegistry], tmp_path: object
) -> Iterator[RegistryProcess | FakeRegistry]:
    """A registry with the user "godwit", whose password is "far away"."""
    running: RegistryProcess | FakeRegistry
    if kind == "fake":
        running = FakeRegistry("127.0.0.1:5001", {"godwit": "far away"})
        registries.append(running)
        yield running
        return
    hashed = subprocess.run(
        ["perl", "-e", 'print crypt("far away", q($2y$05$abcdefghijklmnopqrstuu))'], check=True, capture_output=True
    ).stdout.decode()
    assert hashed.startswith("$2y$")
    with open(f"{tmp_path}/htpasswd", "w", encoding="ascii") as file:
        file.write(f"godwit:{hashed}\n")
    running = RegistryProcess(str(tmp_path), f"{tmp_path}/htpasswd")
    yield running
    running.stop()
