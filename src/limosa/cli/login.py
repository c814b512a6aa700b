"""limosa login"""

import argparse
import sys

from limosa import wiring
from limosa.cli import registry_options
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.oci import DOCKER_HUB

EXAMPLES = """\
examples:
  limosa login registry.example
  limosa login -u ci --password-stdin registry.example <password-file"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-u", "--username", default="", metavar="USER", help="asked for on a terminal")
    parser.add_argument(
        "-p", "--password", default="", metavar="PASSWORD", help="others see it in `ps`: --password-stdin is better"
    )
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    registry_options.configure(parser)
    parser.add_argument(
        "registry", nargs="?", default=DOCKER_HUB, metavar="REGISTRY", help="docker.io, if it is not given"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    user, password = _credentials(args)
    host.oci_images.login(args.registry, user, password, registry_options.registry(args))
    print(f"logged in to {args.registry}")
    return 0


def _credentials(args: argparse.Namespace) -> tuple[str, str]:
    if args.password and args.password_stdin:
        raise LimosaError(
            "LIM-CLI-003",
            "--password and --password-stdin contradict each other",
            hint="leave --password out",
            exit_status=EXIT_USAGE,
        )
    if args.password and args.username:
        return args.username, args.password
    terminal = sys.stdin.isatty()
    if (not terminal and not args.password_stdin) or (args.password_stdin and not args.username):
        raise LimosaError(
            "LIM-CLI-002",
            "the user or the password is missing",
            cause="there is no terminal to ask at" if not terminal else "standard input has the password only",
            hint=f"limosa login -u USER --password-stdin {args.registry} <FILE",
            exit_status=EXIT_USAGE,
        )
    user = args.username or input("user: ")
    if args.password_stdin:
        return user, sys.stdin.read().rstrip("\r\n")
    import getpass

    return user, args.password or getpass.getpass("password: ")
