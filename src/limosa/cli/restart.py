"""limosa restart"""

from limosa import wiring
from limosa.cli import arguments, each, values
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa restart web
  limosa restart -t 30 db web"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-t", "--time", type=values.seconds, metavar="SECONDS", help="wait so long before the kill")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    return each.container(host, args.containers, lambda record: lifecycle.restart(host, record.container_id, args.time))
