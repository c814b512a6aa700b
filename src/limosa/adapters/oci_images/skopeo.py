"""Registries and foreign archives through skopeo, and its answers in our words."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from limosa.linux import process
from limosa.model.errors import LimosaError
from limosa.model.oci import Reference
from limosa.model.value import NamedTuple
from limosa.ports.oci_images import Progress, Registry

_MESSAGE: Final = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_POLL_SECONDS: Final = 0.2
_LAST_LINES: Final = 5


class _Answer(NamedTuple):
    """What a registry's answer means: words that it contains, what that is, what helps."""

    words: tuple[str, ...]
    summary: str
    hint: str


_UNTRUSTED: Final = _Answer(
    ("http response to https client", "x509:", "tls:", "certificate"),
    "the registry cannot be trusted",
    "a registry without TLS, or with a certificate of its own: --tls-verify=false, or --cert-dir DIR",
)
_UNREACHED: Final = _Answer(
    ("connection refused", "no such host", "timeout", "dial tcp", "unreachable", "temporary failure"),
    "the registry cannot be reached",
    "check the network and the name; an image can also come from a file: limosa image import FILE NAME",
)
_ANSWERS: Final = (
    _Answer(
        ("no space left on device",),
        "the disk is full",
        "limosa system prune, or make room",
    ),
    _UNTRUSTED,
    _Answer(
        ("unauthorized", "authentication required", "denied", "invalid username/password", "forbidden"),
        "the registry refuses access",
        "limosa login {registry}   (or there is no such image, which some registries do not tell apart)",
    ),
    _Answer(
        ("manifest unknown", "name unknown", "repository name not known", "not found", "404"),
        "the registry has no such image",
        "check the name and the tag",
    ),
    _UNREACHED,
)


def failure(what: str, reference: Reference, lines: list[str]) -> LimosaError:
    """Return the error that skopeo's last lines mean."""
    cause = _message(lines)
    answer = _meaning(cause)
    summary = f"{what} {reference}" + (f": {answer.summary}" if answer else "")
    return LimosaError(
        "LIM-IMG-007" if answer is _ANSWERS[0] else "LIM-IMG-003",
        f"cannot {summary}",
        cause=cause,
        hint=answer.hint.format(registry=reference.registry) if answer else "the cause is the registry's own answer",
    )


def _meaning(cause: str) -> _Answer | None:
    lower = cause.lower()
    return next((one for one in _ANSWERS if any(word in lower for word in one.words)), None)


def login_failure(registry: str, lines: list[str]) -> LimosaError:
    """Return the error that skopeo's last lines mean when somebody logs in."""
    cause = _message(lines)
    answer = _meaning(cause)
    if answer is _UNREACHED:
        hint = "check the network, the registry's name and its port"
    elif answer is _UNTRUSTED:
        hint = answer.hint
    else:
        hint = "check the user, the password and the registry's name"
        return LimosaError("LIM-IMG-013", f"cannot log in to {registry}", cause=cause, hint=hint)
    return LimosaError("LIM-IMG-003", f"cannot log in to {registry}: {answer.summary}", cause=cause, hint=hint)


class Skopeo:
    """skopeo with one root's credentials."""

    def __init__(self, program: Callable[[str], str], authfile: str) -> None:
        self._program = program
        self._authfile = authfile

    def _argv(self, *words: str) -> list[str]:
        # It ends with us: what it has begun lies in a workspace.
        return [self._program("setpriv"), "--pdeathsig", "KILL", self._program("skopeo"), *words]

    def _access(self, reference: Reference, registry: Registry, prefix: str = "") -> list[str]:
        options = []
        verify = registry.tls_verify if registry.tls_verify is not None else not reference.loopback
        if not verify:
            options.append(f"--{prefix}tls-verify=false")
        if registry.cert_dir:
            options += [f"--{prefix}cert-dir", os.path.abspath(registry.cert_dir)]
        if os.path.exists(self._authfile):
            options += [f"--{prefix}authfile", self._authfile]
        return options

    def raw_manifest(self, reference: Reference, registry: Registry) -> bytes:
        """Return the manifest, or the index, that a registry has. Raises: LimosaError LIM-IMG-003."""
        argv = self._argv("inspect", "--raw", *self._access(reference, registry), f"docker://{reference}")
        done = process.capture(argv)
        if done.status != 0:
            raise failure("pull", reference, done.stderr.decode(errors="replace").splitlines())
        return done.stdout

    def pull(
        self, reference: Reference, registry: Registry, directory: str, blobs: str, on_bytes: Callable[[int], None]
    ) -> None:
        """Bring an image into the new layout `directory`, its blobs into `blobs`. Raises: LimosaError LIM-IMG-003."""
        argv = self._argv(
            *("copy", "--dest-shared-blob-dir", blobs, *self._access(reference, registry, "src-")),
            *(f"docker://{reference}", f"oci:{directory}:it"),
        )
        with _measured(directory, on_bytes):
            self._run(argv, lambda lines: failure("pull", reference, lines))

    def push(self, directory: str, reference: Reference, registry: Registry, compression: str) -> None:
        """Send the image of the layout `directory`. Raises: LimosaError LIM-IMG-003."""
        argv = self._argv(
            *("copy", "--dest-compress-format", compression, *self._access(reference, registry, "dest-")),
            *(f"oci:{directory}:it", f"docker://{reference}"),
        )
        self._run(argv, lambda lines: failure("push", reference, lines))

    def convert(self, source: str, directory: str, scratch: str) -> None:
        """Write the image `source` (with its transport) as the layout `directory`, layers as they are, by `scratch`.

        Raises: ValueError: it cannot be read.
        """
        argv = self._argv("copy", "--dest-oci-accept-uncompressed-layers", source, f"oci:{directory}:it")
        self._run(argv, lambda lines: ValueError(_message(lines)), {**os.environ, "TMPDIR": scratch})

    def login(self, registry: str, user: str, password: str, access: Registry) -> None:
        """Check a password with its registry and keep it. Raises: LimosaError LIM-IMG-013, LIM-IMG-003."""
        options = [
            option
            for option in self._access(Reference(registry, ""), access)
            if option not in ("--authfile", self._authfile)
        ]
        argv = self._argv(
            *("login", "--authfile", self._authfile, "--username", user, "--password-stdin", *options, registry)
        )
        done = process.capture(argv, stdin=password.encode())
        if done.status != 0:
            lines = (done.stderr or done.stdout).decode(errors="replace").splitlines()
            raise login_failure(registry, lines)
        os.chmod(self._authfile, 0o600)

    def _run(self, argv: list[str], error: Callable[[list[str]], Exception], env: dict[str, str] | None = None) -> None:
        lines: list[str] = []
        if process.stream(argv, lines.append, env=env) != 0:
            raise error(lines[-_LAST_LINES:])


def _message(lines: list[str]) -> str:
    found = [match.group(1).replace('\\"', '"') for line in lines if (match := _MESSAGE.search(line))]
    return (found or lines or ["skopeo said nothing"])[-1]


@contextmanager
def _measured(directory: str, on_bytes: Callable[[int], None]) -> Iterator[None]:
    """Tell, while the block runs, how many bytes of blobs came through the unfinished files of a layout."""
    over = threading.Event()

    def watch() -> None:
        largest: dict[str, int] = {}
        while not over.wait(_POLL_SECONDS):
            try:
                for entry in os.scandir(directory):
                    if entry.is_file() and entry.name.startswith("oci-put-blob"):
                        largest[entry.name] = max(largest.get(entry.name, 0), entry.stat().st_size)
            except FileNotFoundError:
                continue
            on_bytes(sum(largest.values()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def tells(progress: Progress, what: str, total_bytes: int) -> Callable[[int], None]:
    """Return a callback that shows bytes of `total_bytes`."""
    return lambda done: progress(what, min(done, total_bytes) if total_bytes else done, total_bytes)
