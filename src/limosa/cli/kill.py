"""limosa kill"""

from limosa import wiring
from limosa.cli import arguments, each
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa kill web
  limosa kill -s HUP web         for programs that read their configuration anew"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-s", "--signal", default="SIGKILL", metavar="SIGNAL", help="KILL, if it is not given")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    return each.container(
        host, args.containers, lambda record: lifecycle.signal(host, record.container_id, args.signal)
    )
