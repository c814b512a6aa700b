"""limosa unpause"""

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import pausing

EXAMPLES = """\
examples:
  limosa unpause web"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for reference in args.containers:
        pausing.unpause(host, host.containers.find(reference).container_id)
        print(reference)
    return 0
