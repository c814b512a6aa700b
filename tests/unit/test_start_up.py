"""What common commands load before they do anything. Sets, not times: a module more is seen here, on any machine."""

import subprocess
import sys

import pytest
from tests.fakes.network import FakeNetworks
from tests.fakes.storage import FakeStorage

from limosa.adapters.file_records import FileContainerRecords
from limosa.engine import inspection
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord, PublishedPort
from limosa.model.ids import ContainerId

# Beside what Python loads by itself.
STANDARD = {
    *(
        "collections",
        "contextlib",
        "errno",
        "fcntl",
        "functools",
        "itertools",
        "keyword",
        "math",
        "operator",
        "reprlib",
    ),
    *("types", "binascii", "time", "select", "importlib", "warnings"),
}
LIST = """
import os, sys
before = set(sys.modules)
from limosa.cli import dispatch
dispatch.run(sys.argv[1:])
print(*sorted(set(sys.modules) - before))
"""


def loaded(root: str, *argv: str) -> set[str]:
    """Return the modules that a command loaded."""
    command = [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{LIST}", "--root", root, *argv]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.privileged
@pytest.mark.parametrize(
    "argv",
    [
        ("ps",),
        ("inspect", "nosuch"),
        ("logs", "nosuch"),
        ("exec", "nosuch", "true"),
        ("start", "nosuch"),
        ("stop", "nosuch"),
        ("rm", "nosuch"),
        ("port", "nosuch"),
        ("stats", "--no-stream", "nosuch"),
        ("wait", "nosuch"),
        ("kill", "nosuch"),
    ],
    ids=lambda argv: argv[0],
)
def test_a_common_command_loads_little(tmp_path: object, argv: tuple[str, ...]) -> None:
    found = loaded(str(tmp_path), *argv)
    top = {name.partition(".")[0] for name in found if not name.startswith("limosa")}
    assert {name for name in top if not name.startswith("_")} <= STANDARD
    adapters = {name for name in found if name.startswith("limosa.adapters.")}
    assert adapters <= {"limosa.adapters.file_records"}, "an adapter is made when it is first used"


@pytest.mark.privileged
def test_the_ports_of_a_container_need_no_netlink(tmp_path: object) -> None:
    records = FileContainerRecords(str(tmp_path))
    config = ContainerConfig("web", "box", ports=(PublishedPort(80, 8080),))
    records.add(ContainerRecord(ContainerId("1" * 24), config, "stopped", 1, 0))
    found = loaded(str(tmp_path), "port", "web")
    assert "limosa.adapters.bridge_network.recorded" in found
    assert not found & {"limosa.adapters.bridge_network.adapter", "socket", "ctypes", "limosa.engine.mounts"}


class _Refs:
    """The refs of a store in which one container has a commit."""

    def get(self, name: str) -> bytes | None:
        return {"containers/" + "2" * 24: bytes(range(32))}.get(name)


@pytest.mark.parametrize(
    ("container_id", "commit"), [("1" * 24, None), ("2" * 24, bytes(range(32)).hex())], ids=["without", "with"]
)
def test_a_container_and_its_commit_are_shown_without_the_store(
    tmp_path: object, container_id: str, commit: str | None
) -> None:
    networks = FakeNetworks(str(tmp_path))
    builders = {
        "commit_refs": _Refs,  # and no "store"
        "network_records": lambda: networks,
        "storage": lambda: FakeStorage(str(tmp_path)),
    }
    host = Host(builders, lambda: 1, bytes, lambda: "boot")
    record = ContainerRecord(ContainerId(container_id), ContainerConfig("web", "box"), "stopped", 1, 0)
    shown = inspection.everything(host, record)
    assert shown["commit"] == commit
    assert shown["network"]["name"] == "default"


@pytest.mark.privileged
def test_run_loads_no_module_that_costs_more_than_it_does(tmp_path: object) -> None:
    found = loaded(str(tmp_path), "run", "--rm", "--pull", "never", "nosuch", "true")
    dear = {
        "argparse",
        "subprocess",
        "shutil",
        "hashlib",
        "socket",
        "ctypes",
        "ipaddress",
        "platform",
        "dataclasses",
        "threading",
        "typing",
        "re",
        "enum",
        "json",
        "signal",
    }
    assert not found & (dear | {"inspect", "pathlib", "logging", "asyncio", "tempfile", "random"})
