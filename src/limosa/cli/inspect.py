"""limosa inspect"""

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import inspection
from limosa.model import json_text

EXAMPLES = """\
examples:
  limosa inspect web
  limosa inspect web | jq '.[0].state'"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true", help="accepted: the answer is JSON anyway")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    found = [inspection.everything(host, host.containers.find(reference)) for reference in args.containers]
    print(json_text.dumps(found, indent=1))
    return 0
