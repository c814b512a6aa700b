"""Roots with images, and a registry on loopback."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest

from limosa.adapters.oci_images.adapter import LayoutImages
from limosa.ports.oci_images import OciImages

BUILD_HOST_ID = (1 << 29) - 65536


def program(name: str) -> str:
    found = shutil.which(name)
    assert found, f"{name} is not installed"
    return found


def quiet(what: str, done_bytes: int, total_bytes: int) -> None:
    """No progress."""


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


class RegistryProcess:
    """Debian's docker-registry."""

    def __init__(self, directory: str, passwords: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.name = f"127.0.0.1:{port}"
        self.directory = f"{directory}/registry"
        os.mkdir(self.directory)
        auth = f"auth:\n  htpasswd:\n    realm: tests\n    path: {passwords}\n" if passwords else ""
        with open(f"{directory}/registry.yml", "w", encoding="ascii") as file:
            file.write(
                f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {self.directory}\n"
                f"http:\n  addr: {self.name}\n{auth}"
            )
        with open(f"{directory}/registry.log", "wb") as log:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", f"{directory}/registry.yml"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with socket.socket() as connection:
                if connection.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.05)
        raise AssertionError("the registry does not answer")

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


@pytest.fixture
def registry(tmp_path: object) -> Iterator[RegistryProcess]:
    """A registry without passwords."""
    running = RegistryProcess(str(tmp_path), "")
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
