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
    """Return the host that an argument means.

    Raises: LimosaError LIM-CLI-002: ssh would take it for an option; LIM-PEER-006: it is a URL of no known kind.
    """
    known = host.host_book.all().get(text)
    if known is not None:
        return known._replace(ssh_options=(*known.ssh_options, *ssh_options))
    require_known_kind(text)
    if text.startswith("-") or not text:
        raise LimosaError("LIM-CLI-002", f"{text!r} is no host", hint="[USER@]HOST", exit_status=EXIT_USAGE)
    return PeerAddress(text, tuple(ssh_options))


def is_directory(host: Host, text: str) -> bool:
    """Say whether an argument of `push` or `fetch` means a directory of this machine and not a host.

    Raises: LimosaError LIM-PEER-006: it is a URL of no known kind.
    """
    require_known_kind(text)
    if text.startswith("ssh://") or text in host.host_book.all():
        return False
    return "/" in text or os.path.isdir(text)


def require_known_kind(text: str) -> None:
    """Raise LimosaError LIM-PEER-006 for a URL other than ssh's: it is neither a host nor meant as a directory."""
    kind, separator, _ = text.partition("://")
    if separator and "/" not in kind and kind not in ("", "ssh"):
        raise LimosaError(
            "LIM-PEER-006",
            f"limosa cannot reach {kind}:// addresses, only directories of this machine and hosts by ssh",
            hint=f"DIR, [USER@]HOST or ssh://[USER@]HOST[:PORT]; ./{text} is the directory of that name",
            exit_status=EXIT_USAGE,
        )
