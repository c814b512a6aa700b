"""What becomes of connections with the outside: `restore` keeps or closes them, by itself or as it is told."""

import time

import pytest

from tests.e2e.conftest import Limosa
from tests.waiting import eventually

pytestmark = pytest.mark.privileged
# Answers what one client asks, and tells what it sees of the connection.
SERVER = """
import os, socket, time
listening = socket.create_server(("0.0.0.0", 7000))
connection = listening.accept()[0]
connection.setblocking(False)
state = "open"
while True:
    try:
        if state == "open":
            asked = connection.recv(1)
            connection.sendall(asked)
            state = "open" if asked else "closed"
    except BlockingIOError:
        pass
    except OSError as error:
        state = error.strerror
    with open("/tmp/seen.new", "w") as file:
        file.write(state)
    os.rename("/tmp/seen.new", "/tmp/seen")
    time.sleep(0.01)
"""
# Asks when it is told to, and tells what came of it.
CLIENT = """
import os, socket, time
connection = socket.create_connection(("one", 7000))
connection.settimeout(60)
print("connected", flush=True)
while not os.path.exists("/tmp/ask"):
    time.sleep(0.02)
try:
    connection.sendall(b"x")
    said = "answer" if connection.recv(1) == b"x" else "end"
except OSError as error:
    said = error.strerror
print(said, flush=True)
time.sleep(1000)
"""


def seen(limosa: Limosa) -> str:
    """Return what the server sees of the connection, written since this was called."""
    again = "rm -f /tmp/seen; until [ -e /tmp/seen ]; do sleep 0.02; done; cat /tmp/seen"
    return limosa("exec", "one", "sh", "-c", again)


@pytest.fixture
def connected(limosa: Limosa, python_rootfs: str) -> Limosa:
    """A host with a server, and a client that has a connection to it."""
    limosa.has_image("python", python_rootfs)
    limosa("run", "-d", "--name", "one", "python", "python3", "-c", SERVER)
    eventually(lambda: "1B58" in limosa("exec", "one", "cat", "/proc/net/tcp"))
    limosa("run", "-d", "--name", "client", "python", "python3", "-c", CLIENT)
    eventually(lambda: "connected" in limosa.logs("client"))
    eventually(lambda: seen(limosa) == "open")
    return limosa


def answer(limosa: Limosa) -> str:
    limosa("exec", "client", "touch", "/tmp/ask")
    eventually(lambda: len(limosa.logs("client").splitlines()) > 1, 90)
    return limosa.logs("client").splitlines()[1]


@pytest.mark.parametrize("options", [(), ("--tcp", "keep")], ids=["default", "keep"])
def test_connections_of_a_container_that_its_commit_ended_go_on(connected: Limosa, options: tuple[str, ...]) -> None:
    commit = connected("checkpoint", "--stop", "one").strip()
    connected("restore", *options, commit)
    assert seen(connected) == "open"
    assert answer(connected) == "answer"


def test_they_are_closed_if_that_is_asked_for(connected: Limosa) -> None:
    commit = connected("checkpoint", "--stop", "one").strip()
    connected("restore", "--tcp", "close", commit)
    assert seen(connected) == "Software caused connection abort"
    assert answer(connected) == "Connection reset by peer", "when it speaks next"


@pytest.mark.parametrize(("options", "state"), [((), "Software caused connection abort"), (("--tcp", "keep"), "open")])
def test_those_of_a_commit_that_was_gone_on_from_are_closed(
    connected: Limosa, options: tuple[str, ...], state: str
) -> None:
    commit = connected("checkpoint", "one").strip()
    connected("rm", "-f", "client")
    connected("kill", "one")
    connected("restore", *options, commit)
    time.sleep(0.1)
    assert seen(connected) == state
