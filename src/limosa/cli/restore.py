"""limosa restore"""

import argparse

from limosa import wiring
from limosa.engine import commits, restore

EXAMPLES = """\
examples:
  limosa restore 5f2c9a
  limosa restore db            its latest commit, also after limosa rm db
  limosa restore --tcp close good"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--name", default="", metavar="NAME", help="another name, for a container that was removed")
    parser.add_argument("--tcp", choices=("keep", "close"), help="connections with the outside")
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    keep = None if args.tcp is None else args.tcp == "keep"
    print(restore.restore(host, commits.find(host, args.commit), args.name, keep).config.name)
    return 0
