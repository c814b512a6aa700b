"""limosa logout"""

import argparse

from limosa import wiring
from limosa.model.oci import DOCKER_HUB

EXAMPLES = """\
examples:
  limosa logout registry.example"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("registry", nargs="?", default=DOCKER_HUB, metavar="REGISTRY")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    known = wiring.host(wiring.root_of(args.root)).oci_images.logout(args.registry)
    print(f"logged out of {args.registry}" if known else f"not logged in to {args.registry}")
    return 0
