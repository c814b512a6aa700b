"""What another host's limosa starts here through ssh. Not for people."""

import argparse

from limosa import wiring
from limosa.engine import serving

EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Nothing to add."""
    del parser


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    with host.peers.served() as connection:
        serving.serve(host, connection)
    return 0
