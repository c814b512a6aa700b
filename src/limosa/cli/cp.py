"""limosa cp"""

import argparse
from contextlib import AbstractContextManager

from limosa import wiring
from limosa.engine import commits, copying
from limosa.engine.host import Host
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.ports.container_files import CopyOptions, Inside

EXAMPLES = """\
examples:
  limosa cp web:/etc/nginx/nginx.conf .
  limosa cp site/. web:/var/www/html         (the directory's contents)
  limosa cp web:/var/log - | tar t           (- is a tar archive)
  limosa cp db~1:/etc/app.conf .        (as it was in a commit: its own files and its image's)
A container's files are those that it sees, with binds and volumes, whether it runs or not; of a commit, its own and its
image's, without volumes."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-a", "--archive", action="store_true", help="keep owners (by number)")
    parser.add_argument("-L", "--follow-link", action="store_true", help="copy what a link SRC leads to")
    parser.add_argument("source", metavar="NAME:PATH|PATH|-")
    parser.add_argument("target", metavar="PATH|-|NAME:PATH")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    source, target = _container_path(args.source), _container_path(args.target)
    options = CopyOptions(args.archive, args.follow_link)
    if (source is None) == (target is None):
        raise LimosaError(
            "LIM-CLI-003",
            "one of the two has to be a container's: NAME:PATH",
            hint="limosa cp NAME:PATH PATH, or limosa cp PATH NAME:PATH; a host path with a colon begins with ./",
            exit_status=EXIT_USAGE,
        )
    if source is not None:
        with _files(host, source[0]) as inside:
            host.container_files.copy_out(inside, source[1], args.target, options)
    elif target is not None:
        record = host.containers.find(target[0])
        with copying.inside(host, record) as inside:
            host.container_files.copy_in(args.source, inside, target[1], options)
    return 0


def _files(host: Host, name: str) -> AbstractContextManager[Inside]:
    """Return the files of the container or the commit that a name means; a container comes first."""
    try:
        return copying.inside(host, host.containers.find(name))
    except LimosaError as missing:
        if missing.code != "LIM-NAME-003":
            raise
        try:
            commit = commits.find(host, name)
        except LimosaError as neither:
            if neither.code != "LIM-COMM-001":
                raise
            raise missing from None
    return copying.of_commit(host, commit)


def _container_path(text: str) -> tuple[str, str] | None:
    """Return (container, path) of "NAME:PATH", None for a path of the host."""
    name, colon, path = text.partition(":")
    return (name, path or "/") if colon and name and "/" not in name and name != "." else None
