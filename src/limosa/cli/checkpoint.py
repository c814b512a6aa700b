"""limosa checkpoint"""

import argparse
import json

from limosa import wiring
from limosa.engine import checkpoint
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa checkpoint db -m 'before the upgrade'
  limosa checkpoint --stop db"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-m", "--message", default="", metavar="TEXT")
    parser.add_argument("--stop", action="store_true", help="end the container with the commit")
    parser.add_argument("--json", action="store_true", help="print the whole commit")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    commit = checkpoint.checkpoint(host, record.container_id, args.message, stop=args.stop)
    print(json.dumps(codec.to_jsonable(commit), indent=1) if args.json else commit.commit_id)
    return 0
