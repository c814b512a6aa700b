"""limosa enter"""

import os

from limosa import wiring
from limosa.cli import arguments, terminal_options
from limosa.engine import sessions

EXAMPLES = """\
examples:
  limosa enter web                    (a login shell of root)
  limosa enter -u postgres db
  echo uptime | limosa enter web"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-u", "--user", default="", metavar="USER", help="whose login shell (default root)")
    terminal_options.configure(parser, sig_proxy=False)
    parser.add_argument("container", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    streams = terminal_options.streams(args, stdin=True, terminal=os.isatty(0) and os.isatty(1))
    return sessions.enter(host, record, args.user, streams, os.environ.get("TERM", ""))
