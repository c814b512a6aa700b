"""Debian's docker-registry on loopback."""

import os
import signal
import socket
import subprocess

from tests.waiting import eventually


class RegistryProcess:
    """A registry that keeps its blobs in `directory`/registry; `passwords` is an htpasswd file, or ""."""

    def __init__(self, directory: str, passwords: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.name = f"127.0.0.1:{self._port}"
        self.directory = f"{directory}/registry"
        os.mkdir(self.directory)
        auth = f"auth:\n  htpasswd:\n    realm: tests\n    path: {passwords}\n" if passwords else ""
        with open(f"{directory}/registry.yml", "w", encoding="ascii") as file:
            file.write(
                f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {self.directory}\n"
                f"http:\n  addr: {self.name}\n{auth}"
            )
        argv = ["docker-registry", "serve", f"{directory}/registry.yml"]
        with open(f"{directory}/registry.log", "wb") as log:
            self._process = subprocess.Popen(argv, stdout=log, stderr=log)
        eventually(self._answers)

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the registry has ended"
        with socket.socket() as connection:
            return connection.connect_ex(("127.0.0.1", self._port)) == 0

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)
