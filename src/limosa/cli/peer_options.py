"""Options of every verb that talks to another host, and what its argument means."""

import argparse
import os

from limosa.engine.host import Host
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.peer_address import PeerAddress

HOSTS = """\
HOST is what ssh takes ([USER@]HOST, ssh://USER@HOST:PORT, a name of ~/.ssh/config), or a name that limosa host add
remembered."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--ssh-option", action="append", default=[], metavar="OPTION", help="passed on as ssh -o OPTION"
    )


def address(host: Host, text: str, ssh_options: list[str]) -> PeerAddress:
    """Return the host that an argument means. Raises: LimosaError LIM-CLI-002: ssh would take it for an option."""
    known = host.host_book.all().get(text)
    if known is not None:
        return known._replace(ssh_options=(*known.ssh_options, *ssh_options))
    if text.startswith("-") or not text:
        raise LimosaError("LIM-CLI-002", f"{text!r} is no host", hint="[USER@]HOST", exit_status=EXIT_USAGE)
    return PeerAddress(text, tuple(ssh_options))


def is_directory(host: Host, text: str) -> bool:
    """Say whether an argument of `push` or `fetch` means a directory of this machine and not a host."""
    if text.startswith("ssh://") or text in host.host_book.all():
        return False
    return "/" in text or os.path.isdir(text)
