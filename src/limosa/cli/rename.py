"""limosa rename"""

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import renaming

EXAMPLES = """\
examples:
  limosa rename web web-old"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("name", metavar="NEW-NAME")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    print(renaming.rename(host, host.containers.find(args.container).container_id, args.name).config.name)
    return 0
