"""limosa wait"""

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa wait web"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for reference in args.containers:
        record = host.containers.find(reference)
        print(lifecycle.wait(host, record.container_id))
    return 0
