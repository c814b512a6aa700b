"""limosa tag"""

import argparse

from limosa import wiring
from limosa.engine import commits

EXAMPLES = """\
examples:
  limosa tag db~1 before-upgrade"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("name", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    commits.tag(host, commits.find(host, args.commit), args.name)
    return 0
