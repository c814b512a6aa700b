"""The options of verbs that join a person's streams to a program's."""

import os

from limosa.cli import arguments
from limosa.model import detach
from limosa.model.errors import EXIT_FAILURE, LimosaError
from limosa.ports.runtime import Streams


def configure(parser: arguments.Parser, *, sig_proxy: bool = True) -> None:
    """Add `--detach-keys`, and `--sig-proxy` where signals can be kept from the program."""
    parser.add_argument(
        "--detach-keys",
        default=detach.DEFAULT,
        metavar="KEYS",
        help=f"let go of its terminal (default {detach.DEFAULT})",
    )
    if sig_proxy:
        parser.add_argument(
            "--sig-proxy",
            type=_truth,
            nargs="?",
            const=True,
            default=True,
            metavar="true|false",
            help="pass signals on to the program (default true)",
        )


def streams(args: arguments.Arguments, *, stdin: bool, terminal: bool) -> Streams:
    """Return how to join the streams.

    Raises: LimosaError LIM-CLI-004: a terminal was asked for, and the input is none; LIM-CLI-002: bad detach keys.
    """
    keys = detach.keys(args.detach_keys)
    if stdin and terminal and not os.isatty(0):
        raise LimosaError(
            "LIM-CLI-004",
            "the input is no terminal",
            cause="-t with -i takes what is typed on a terminal, and standard input is a file or a pipe",
            hint="leave -t out",
            exit_status=EXIT_FAILURE,
        )
    return Streams(stdin, terminal, keys, pass_signals=getattr(args, "sig_proxy", True))


def _truth(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise arguments.wrong(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "1")
