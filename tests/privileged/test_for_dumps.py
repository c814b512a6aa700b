"""What is preloaded into criu answers for the kernel only where the kernel would have nothing to say."""

import shutil
import subprocess
import sys
from typing import Any

import pytest

from limosa.adapters.criu import native

pytestmark = pytest.mark.privileged

# criu's question for all tracked connections, and what is answered: how many, or "nothing" for a bare acknowledgement.
ASK = """
import socket, struct
CONNTRACK_GET, DUMP, SEQUENCE = 1 << 8 | 1, 0x301, 24680
question = struct.pack("<IHHII", 20, CONNTRACK_GET, DUMP, SEQUENCE, 0) + bytes(4)
asking = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
asking.sendmsg([question], [], 0, (0, 0))
found, done = 0, False
while not done:
    data = asking.recv(1 << 16)
    while data:
        length, kind = struct.unpack_from("<IH", data)
        if kind == 2:
            assert struct.unpack_from("<i", data, 16) == (0,)
            print("nothing")
            raise SystemExit
        done = done or kind == 3
        found += kind == 1 << 8
        data = data[(length + 3) & ~3 :]
print(found)
"""
TRACKED = """
ip link set lo up
nft add table ip t
nft 'add chain ip t c { type filter hook output priority 0; }'
nft add rule ip t c ct state established accept
"""
CONNECT = """
import socket
listening = socket.create_server(("127.0.0.1", 0))
one = socket.create_connection(listening.getsockname())
other = listening.accept()[0]
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: Any) -> str:
    made = native.library(str(tmp_path_factory.mktemp("native")), shutil.which("cc") or "")
    assert made
    return made


def asked(library: str, before: str = "", program: str = ASK) -> str:
    """Return the answer in a network namespace of its own."""
    script = f'{before}\nexec env LD_PRELOAD="$1" "$2" -c "$3"'
    argv = ["unshare", "--net", "sh", "-ec", script, "sh", library, sys.executable, program]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def test_no_connections_are_asked_for_where_there_are_none(library: str) -> None:
    assert asked("") == "0", "so the kernel says"
    assert asked(library) == "nothing"


def test_tracked_connections_are_told(library: str) -> None:
    assert asked(library, TRACKED, CONNECT + ASK) == "1"


def test_everything_else_is_sent_as_it_is(library: str) -> None:
    program = 'import socket; a, b = socket.socketpair(); a.sendmsg([b"one", b"two"]); print(b.recv(9).decode())'
    assert asked(library, "", program) == "onetwo"
    missing = 'import socket\ntry: socket.socket(socket.AF_NETLINK, 3, 12).sendmsg([b""], [], 0, (1 << 31, 0))\n'
    assert asked(library, "", missing + "except OSError as failed: print(failed.errno > 0)") == "True"
