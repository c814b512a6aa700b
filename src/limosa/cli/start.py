"""limosa start"""

import argparse

from limosa import wiring
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa start web"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for reference in args.containers:
        record = host.containers.find(reference)
        lifecycle.start(host, record.container_id)
        print(reference)
    return 0
