"""limosa restore"""

import argparse

from limosa import wiring
from limosa.engine import checkpoint

EXAMPLES = """\
examples:
  limosa restore 5f2c9a"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    print(checkpoint.restore(host, host.commits.find(args.commit)).config.name)
    return 0
