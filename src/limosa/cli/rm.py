"""limosa rm"""

from limosa import wiring
from limosa.cli import arguments, each
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa rm -f web"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-f", "--force", action="store_true", help="end it first if it runs")
    parser.add_argument("-v", "--volumes", action="store_true", help="also the volumes without a name that it has")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    return each.container(
        host,
        args.containers,
        lambda record: lifecycle.remove(host, record.container_id, force=args.force, with_volumes=args.volumes),
    )
