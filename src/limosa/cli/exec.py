"""limosa exec"""

import argparse

from limosa import wiring
from limosa.cli import values
from limosa.engine import sessions

EXAMPLES = """\
examples:
  limosa exec web cat /etc/hostname
  limosa exec -it -u root web sh"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-i", "--interactive", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-e", "--env", action="append", default=[], type=values.variable, metavar="NAME[=VALUE]")
    parser.add_argument("-w", "--workdir", default="", metavar="DIR")
    parser.add_argument("-u", "--user", default=None, metavar="USER[:GROUP]")
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND …")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    wanted = sessions.Wanted(tuple(args.command), tuple(args.env), args.workdir, args.user, args.tty, args.interactive)
    return sessions.execute(host, record, wanted)
