"""limosa checkpoint"""

import argparse
import json

from limosa import wiring
from limosa.engine import checkpoint, commits
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa checkpoint db -m 'before the upgrade' --tag good
  limosa checkpoint --stop db"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-m", "--message", default="", metavar="TEXT")
    parser.add_argument("--tag", default="", metavar="NAME", help="name the commit")
    parser.add_argument("--stop", action="store_true", help="end the container with the commit")
    parser.add_argument("--json", action="store_true", help="print the whole commit")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    if args.tag:
        commits.require_free_tag(host, args.tag)
    commit = checkpoint.checkpoint(host, record.container_id, args.message, stop=args.stop)
    if args.tag:
        commits.tag(host, commit, args.tag)
    print(json.dumps(codec.to_jsonable(commit), indent=1) if args.json else commit.commit_id)
    return 0
