"""One ssh process per connection, whose other end is `limosa internal-serve`."""

import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from limosa.adapters.ssh_peers.frames import IDLE_S, FramedConnection
from limosa.linux import process
from limosa.model.errors import LimosaError
from limosa.model.peer_address import PeerAddress
from limosa.ports.peers import Connection

_NOT_REACHED: Final = 255  # ssh's own status: ssh(1)
_NOT_FOUND: Final = (126, 127)
_END_S: Final = 5.0
_WORDS_BYTES: Final = 2000
_OPTIONS: Final = ("ServerAliveInterval=5", "ServerAliveCountMax=3", "ForwardAgent=no", "ForwardX11=no")


class SshPeers:
    """OpenSSH with the user's own configuration, keys and multiplexing."""

    def __init__(self, program: Callable[[str], str], idle_s: float = IDLE_S) -> None:
        self._program, self._idle_s = program, idle_s

    def own_name(self) -> str:
        """See the port."""
        return os.uname().nodename

    @contextmanager
    def connected(self, peer: PeerAddress, bandwidth_bytes: int = 0) -> Iterator[Connection]:
        """See the port."""
        words = os.memfd_create("limosa-ssh", os.MFD_CLOEXEC)
        theirs_in, ours_out = os.pipe2(os.O_CLOEXEC)
        ours_in, theirs_out = os.pipe2(os.O_CLOEXEC)
        try:
            files = [(theirs_in, 0), (theirs_out, 1), (words, 2)]
            pid = process.spawn(self._argv(peer), env=dict(os.environ), files=files)
        except OSError:
            for descriptor in (words, ours_in, ours_out):
                os.close(descriptor)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        connection = FramedConnection(
            ours_in, ours_out, peer.destination, bandwidth_bytes=bandwidth_bytes, idle_s=self._idle_s
        )
        try:
            try:
                connection.begin()
            except LimosaError as silent:
                os.close(ours_out)
                ours_out = -1
                raise _explained(peer, silent, _ended(pid), words) from silent
            yield connection
        finally:
            connection.close()
            for descriptor in (ours_in, ours_out, words):
                if descriptor >= 0:
                    os.close(descriptor)
            _end(pid)

    def _argv(self, peer: PeerAddress) -> list[str]:
        remote = [peer.command, *(["--root", peer.root] if peer.root else []), "internal-serve"]
        options = [part for option in (*peer.ssh_options, *_OPTIONS) for part in ("-o", option)]
        command = " ".join(shlex.quote(word) for word in remote)
        return [self._program("ssh"), "-T", *options, "--", peer.destination, command]

    @contextmanager
    def served(self) -> Iterator[Connection]:
        """See the port."""
        # What a library prints must not get between the frames: standard output is the error output from here on.
        reading, writing = os.dup(0), os.dup(1)
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(2, 1)
        os.close(null)
        connection = FramedConnection(reading, writing, _asker(), idle_s=self._idle_s)
        try:
            connection.begin()
            yield connection
        finally:
            connection.close()
            os.close(reading)
            os.close(writing)


def _asker() -> str:
    """Return who is at the other end, as sshd tells it. Source: sshd(8), SSH_CONNECTION."""
    return os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or "the other host"


_living: dict[int, int | None] = {}


def _ended(pid: int) -> int | None:
    """Wait a moment for ssh to end by itself and return its status."""
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _living[pid] = process.exit_status(status)
            return _living[pid]
        time.sleep(0.02)
    return None


def _end(pid: int) -> None:
    """End ssh, whose input is closed: it ends by itself, unless its link is dead."""
    import signal

    if pid in _living:
        del _living[pid]
        return
    if not process.ended(pid, 0, 1.0):
        os.kill(pid, signal.SIGTERM)
        if not process.ended(pid, 0, 1.0):
            os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _explained(peer: PeerAddress, silent: LimosaError, status: int | None, words: int) -> LimosaError:
    size_bytes = os.fstat(words).st_size
    said = os.pread(words, _WORDS_BYTES, max(0, size_bytes - _WORDS_BYTES)).decode(errors="replace").strip()
    if status == _NOT_REACHED:
        return LimosaError(
            "LIM-PEER-001",
            f"{peer.destination} cannot be reached",
            cause=said or "ssh says nothing",
            hint=f"ssh {peer.destination} true has to work without a question; --ssh-option passes ssh options on",
        )
    if status in _NOT_FOUND:
        return LimosaError(
            "LIM-PEER-002",
            f"there is no limosa at {peer.destination}",
            cause=said,
            hint="install it there, or say where it is: limosa host add --command PATH",
        )
    if said:
        return LimosaError("LIM-PEER-002", silent.summary, cause=f"{silent.cause}: {said}", hint=silent.hint)
    return silent
