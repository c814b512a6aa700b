"""Commits that somebody made up: signed by a trusted key, whole by every digest, and refused before criu sees them."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Limosa, new_host

pytestmark = pytest.mark.privileged

# Takes a commit of the host at argv[1], puts other images into it, and makes it what argv[2] names.
FORGE = """
import base64, json, sys
from limosa import wiring
from limosa.engine import commits
from limosa.model.commit_store import Commit, Entry
host = wiring.host(sys.argv[1])
edits = {name.encode(): base64.b64decode(data) for name, data in json.load(sys.stdin).items()}
found = commits.find(host, sys.argv[2])
with host.store.reading(commits.identifier(found)) as reader, host.store.writing() as writer:
    entries = {b"criu/" + name: Entry(content=writer.put_blob(data)) for name, data in edits.items()}
    manifest = writer.put_entries(reader.commit.manifest, entries)
    made = writer.put_commit(Commit((), manifest, reader.commit.created_ns, reader.commit.attributes))
    host.store.set_ref("tags/forged", made, when_ns=host.now_ns(), why="forged")
print(made.hex())
"""
READ = """
import base64, json, sys
from limosa import wiring
from limosa.engine import commits
host = wiring.host(sys.argv[1])
with host.store.reading(commits.identifier(commits.find(host, sys.argv[2]))) as reader:
    images = reader.entries(b"criu/")
    found = {key.decode()[5:]: base64.b64encode(reader.content(entry)).decode() for key, entry in images}
print(json.dumps(found))
"""

Edit = Callable[[list[dict[int, Any]]], None]


@pytest.fixture
def elsewhere(limosa: Limosa) -> Iterator[Limosa]:
    with new_host() as host:
        yield host


def program(text: str, *args: str, stdin: str = "") -> str:
    import subprocess

    argv = [os.path.abspath(".venv/bin/python"), "-c", text, *args]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def edited(data: bytes, name: str, edit: Edit) -> bytes:
    """Return an image of records with its messages changed."""
    import struct

    from limosa.adapters.criu import images, schema

    kind, _ = images.kind_of(name)
    place, messages = 8, []
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place)
        messages.append(schema.decode(kind.message, data[place + 4 : place + 4 + size], schema.Budget(1 << 20)))
        place += 4 + size
    edit(messages)
    bodies = [schema.encode(kind.message, message) for message in messages]
    return data[:8] + b"".join(struct.pack("<I", len(body)) + body for body in bodies)


def root_of_the_host(messages: list[dict[int, Any]]) -> None:
    messages[0][1][0][2] = 0


def a_capability(messages: list[dict[int, Any]]) -> None:
    creds = messages[0][5][10]
    creds[10][0] |= 1 << 21
    creds[11][0] |= 1 << 21


def a_directory_of_the_host(messages: list[dict[int, Any]]) -> None:
    device = next(mount for mount in messages if mount[7] == b"/dev/urandom")
    device[8] = b"/etc/shadow"


def another_external_file(messages: list[dict[int, Any]]) -> None:
    hosts = next(mount for mount in messages if mount[7] == b"/etc/hosts")
    hosts[18] = b"limosa%etc%resolv.conf"


def a_path_that_leaves(messages: list[dict[int, Any]]) -> None:
    opened = next(entry for entry in messages if entry[1] == 1)
    opened[3][6] = b"/../../../etc/shadow"


FORGED = [
    ("userns-", root_of_the_host, "users would be others of the host"),
    ("core-1", a_capability, "CAP_SYS_ADMIN"),
    ("mountpoints-", a_directory_of_the_host, "'/etc/shadow' of the host would be at /dev/urandom"),
    ("mountpoints-", another_external_file, "something of the host"),
    ("files.img", a_path_that_leaves, "leads elsewhere"),
]


def test_what_was_made_up_is_refused_before_criu_runs(
    limosa: Limosa, elsewhere: Limosa, busybox_rootfs: str, tmp_path: Any
) -> None:
    import base64

    sys.path.insert(0, os.path.abspath("src"))
    for host in (limosa, elsewhere):
        host("image", "import", busybox_rootfs, "box")
    limosa("run", "-d", "--name", "one", "--sysctl", "net.core.somaxconn=77", "box", "sleep", "1000")
    limosa("run", "-d", "-it", "--name", "alone", "--network", "none", "--tmpfs", "/scratch", "box", "sh")
    limosa("exec", "alone", "sh", "-c", "echo kept >/scratch/note")
    limosa("checkpoint", "one")
    limosa("checkpoint", "alone")
    elsewhere("trust", "add", "maker", limosa("trust", "key").strip())
    dumped = json.loads(program(READ, limosa.root, "one"))
    for index, (stem, edit, said) in enumerate(FORGED):
        name = next(name for name in dumped if name.startswith(stem))
        image = base64.b64encode(edited(base64.b64decode(dumped[name]), name, edit)).decode()
        forged = program(FORGE, limosa.root, "one", stdin=json.dumps({name: image})).strip()
        limosa("export", "--for-strangers", forged, f"{tmp_path}/{index}")
        commit = elsewhere("import", f"{tmp_path}/{index}").strip()
        refused = elsewhere("fork", commit, status=1)
        assert "LIM-CRIU-041" in refused, stem
        assert said in refused
        assert elsewhere.records() == {}, "nothing is left of it"
    unknown = json.dumps({"iptables-9.img": base64.b64encode(b"*filter").decode()})
    limosa(
        "export", "--for-strangers", program(FORGE, limosa.root, "one", stdin=unknown).strip(), f"{tmp_path}/unknown"
    )
    commit = elsewhere("import", f"{tmp_path}/unknown").strip()
    assert "LIM-CRIU-040" in elsewhere("fork", commit, status=1)

    for name in ("one", "alone"):  # as they were made, with ids that another container there has
        limosa("export", "--for-strangers", name, f"{tmp_path}/{name}")
        commit = elsewhere("import", f"{tmp_path}/{name}").strip()
        copies = elsewhere("fork", "-n", "2", commit).split()
        assert elsewhere("restore", commit).strip() == name
        found = elsewhere.records()
        firsts = [found[each]["first_host_id"] for each in (name, *copies)]
        assert len(set(firsts)) == 3, "each has ids of its own"
        assert "uid=0(root)" in elsewhere("exec", name, "id")
        owners = {os.stat(f"/proc/{found[each]['init_pid']}").st_uid for each in (name, *copies)}
        assert owners == set(firsts), "its processes run with these"
        assert elsewhere("exec", copies[1], "touch", "/root/new") == ""
    assert elsewhere("exec", "one", "cat", "/proc/sys/net/core/somaxconn") == "77\n"
    assert elsewhere("exec", "alone", "cat", "/scratch/note") == "kept\n"
    assert "127.0.0.1" in elsewhere("exec", "alone", "ip", "address", "show", "lo")
    assert "LOWER_UP" in elsewhere("exec", "alone", "ip", "link", "show", "lo")


def test_a_changed_signature_is_noticed(limosa: Limosa, elsewhere: Limosa, busybox_rootfs: str, tmp_path: Any) -> None:
    limosa("image", "import", busybox_rootfs, "box")
    limosa("run", "-d", "--name", "one", "box", "sleep", "1000")
    commit = limosa("checkpoint", "one").strip()
    swap = """
import os, sys
from limosa import wiring
from limosa.engine import commits, transfers
from limosa.model.commit_store import Signature
host = wiring.host(sys.argv[1])
real = host.trust.sign(b"something else")
class Forger:
    def sign(self, data):
        return real
host.trust = Forger()
transfers.export(host, [commits.find(host, sys.argv[2])], sys.argv[3], for_strangers=True)
"""
    program(swap, limosa.root, commit, f"{tmp_path}/swapped")
    assert "LIM-TRUST-006" in elsewhere("import", f"{tmp_path}/swapped", status=1)
    assert elsewhere("log", "--json").strip() == "[]"
    assert "LIM-TRUST-003" in elsewhere("trust", "add", "who", "ssh-rsa AAAA", status=1)
    assert "LIM-TRUST-005" in elsewhere("trust", "rm", "who", status=1)
