"""limosa untag"""

import argparse

from limosa import wiring
from limosa.engine import commits

EXAMPLES = """\
examples:
  limosa untag before-upgrade"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("names", nargs="+", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for name in args.names:
        commits.untag(host, name)
    return 0
