"""The `ContainerFiles` port."""

import os
import sys
import tarfile
from collections.abc import Callable
from typing import IO, Literal

from limosa.adapters.container_files import jail, pack, unpack
from limosa.model.errors import LimosaError
from limosa.ports.container_files import STREAM, CopyOptions, Inside

Missing = Literal["source", "target"]


class JailedFiles:
    """Copies through a pipe between this process and one that is locked into the container (jail.py)."""

    def copy_in(self, source: str, inside: Inside, target: str, options: CopyOptions) -> None:
        """See the port."""
        archive = source == STREAM
        where = unpack.Target(
            path=target if target.startswith("/") else f"/{target}",
            owner=None if options.keep_owners or archive else (0, 0),
            trusted=True,
            contents_only=_contents_only(source),
            archive=archive,
        )
        if archive:
            jailed = jail.start(inside, -1, lambda: unpack.read(sys.stdin.buffer, where))
            _require(jailed.outcome(), source, target, missing="target")
            return
        try:
            name = _name(source, follow_link=options.follow_link)
        except OSError as error:
            raise _failure(type(error).__name__, jail.words(error), source, target) from error
        read_end, write_end = os.pipe2(os.O_CLOEXEC)

        def work() -> None:
            os.close(write_end)
            with open(read_end, "rb") as stream:
                unpack.read(stream, where)

        jailed = jail.start(inside, read_end, work)
        failed: OSError | None = None
        try:
            with open(write_end, "wb") as stream:
                pack.write(_plain(source), name, stream, follow_link=options.follow_link)
        except BrokenPipeError:
            pass  # it failed, and says why
        except OSError as error:
            failed = error
        outcome = jailed.outcome()
        if failed is not None:
            raise _failure("OSError", f"{failed.filename or source}: {failed.strerror}", source, target) from failed
        _require(outcome, source, target, missing="target")

    def copy_out(self, inside: Inside, source: str, target: str, options: CopyOptions) -> None:
        """See the port."""
        place = source if source.startswith("/") else f"/{source}"

        def packed(stream: IO[bytes]) -> None:
            follow = options.follow_link
            pack.write(_plain(place), _name(place, follow_link=follow), stream, follow_link=follow)

        if target == STREAM:
            jailed = jail.start(inside, -1, lambda: _flushed(packed, sys.stdout.buffer))
            _require(jailed.outcome(), source, target)
            return
        read_end, write_end = os.pipe2(os.O_CLOEXEC)

        def work() -> None:
            os.close(read_end)
            with open(write_end, "wb") as stream:
                packed(stream)

        jailed = jail.start(inside, write_end, work)
        owner = None if options.keep_owners else (os.geteuid(), os.getegid())
        where = unpack.Target(target, owner, trusted=False, contents_only=_contents_only(source))
        failure: LimosaError | None = None
        with open(read_end, "rb") as stream:
            try:
                unpack.read(stream, where)
                while stream.read(1 << 16):  # what is behind the archive's end
                    pass
            except (OSError, tarfile.TarError, unpack.Refused) as error:
                failure = _failure(type(error).__name__, jail.words(error), source, target, missing="target")
        outcome = jailed.outcome()
        if outcome and outcome["kind"] != "BrokenPipeError":
            _require(outcome, source, target)
        if failure is not None:
            raise failure


def _flushed(packed: Callable[[IO[bytes]], None], stream: IO[bytes]) -> None:
    packed(stream)
    stream.flush()


def _contents_only(source: str) -> bool:
    return source == "." or source.endswith("/.")


def _plain(source: str) -> str:
    """Return a source without "/." at its end; a link before a slash stands for its directory, as for ls."""
    return source if source.strip("/") == "" else source.removesuffix("/.") or "/"


def _name(source: str, *, follow_link: bool) -> str:
    """Return what the source is called in the archive. Raises: OSError: there is no such file."""
    os.stat(source) if follow_link else os.lstat(source)
    return "." if _contents_only(source) else os.path.basename(os.path.normpath(source)) or "."


def _require(outcome: dict[str, str], source: str, target: str, missing: Missing = "source") -> None:
    if outcome:
        raise _failure(outcome["kind"], outcome["words"], source, target, missing)


def _failure(kind: str, words: str, source: str, target: str, missing: Missing = "source") -> LimosaError:
    """Return the error; a file that there is not is the `missing` one of both ends."""
    if kind == "FileNotFoundError" and missing == "source":
        return LimosaError(
            "LIM-FILE-001",
            f"{source} cannot be copied: there is no such file",
            cause=words,
            hint="a file of a container or a commit is NAME:PATH, anything else one of this machine",
        )
    if kind in ("Refused", "FileNotFoundError"):
        return LimosaError(
            "LIM-FILE-002",
            f"{source} cannot be copied to {target}",
            cause=words,
            hint="name a directory that is there and can be written, or a new name in one",
        )
    return LimosaError(
        "LIM-FILE-003",
        f"copying {source} to {target} failed",
        state="what was copied before that is there",
        cause=words,
        hint="do away with the cause and copy again: files that are there are replaced",
    )
