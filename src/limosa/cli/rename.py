"""limosa rename"""

import argparse

from limosa import wiring
from limosa.engine import renaming

EXAMPLES = """\
examples:
  limosa rename web web-old"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("name", metavar="NEW-NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    print(renaming.rename(host, host.containers.find(args.container).container_id, args.name).config.name)
    return 0
