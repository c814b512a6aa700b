"""limosa fork"""

import argparse

from limosa import wiring
from limosa.engine import checkpoint

EXAMPLES = """\
examples:
  limosa fork -n 3 5f2c9a
  limosa fork --name trial 5f2c9a"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-n", "--number", type=int, default=1, metavar="N", help="how many copies")
    parser.add_argument("--name", default="", metavar="PATTERN", help="their name; -1, -2, … is added for several")
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    commit = host.commits.find(args.commit)
    several = args.number > 1 and args.name
    names = [f"{args.name}-{index + 1}" if several else args.name for index in range(args.number)]
    for name in names:
        (record,) = checkpoint.fork(host, commit, [name])
        print(record.config.name, flush=True)
    return 0
