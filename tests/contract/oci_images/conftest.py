"""Roots with images, and a registry on loopback."""

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from archives import program
from tests.registry_process import RegistryProcess

from limosa.adapters.oci_images.adapter import LayoutImages
from limosa.ports.oci_images import OciImages

BUILD_HOST_ID = (1 << 29) - 65536


@pytest.fixture
def new_root(tmp_path: object) -> Callable[[], str]:
    """Make a root directory."""
    made: list[str] = []

    def make() -> str:
        root = f"{tmp_path}/root{len(made)}"
        os.mkdir(root, 0o711)
        made.append(root)
        return root

    return make


@pytest.fixture
def root(new_root: Callable[[], str]) -> str:
    return new_root()


@pytest.fixture
def images(root: str) -> OciImages:
    return LayoutImages(root, program, BUILD_HOST_ID)


@pytest.fixture
def second(new_root: Callable[[], str]) -> OciImages:
    """The images of another root."""
    return LayoutImages(new_root(), program, BUILD_HOST_ID)


@pytest.fixture
def registry(tmp_path: object) -> Iterator[RegistryProcess]:
    """A registry without passwords."""
    running = RegistryProcess(str(tmp_path))
    yield running
    running.stop()


@pytest.fixture
def closed_registry(tmp_path: object) -> Iterator[RegistryProcess]:
    """A registry with the user "godwit", whose password is "far away"."""
    hashed = subprocess.run(
        ["perl", "-e", 'print crypt("far away", q($2y$05$abcdefghijklmnopqrstuu))'], check=True, capture_output=True
    ).stdout.decode()
    assert hashed.startswith("$2y$")
    with open(f"{tmp_path}/htpasswd", "w", encoding="ascii") as file:
        file.write(f"godwit:{hashed}\n")
    running = RegistryProcess(str(tmp_path), f"{tmp_path}/htpasswd")
    yield running
    running.stop()
