"""What the monitor calls when a container's first process has ended. Not for people."""

import argparse

from limosa import wiring
from limosa.engine import restarting
from limosa.keeper import pause
from limosa.model.ids import ContainerId

EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("container_id")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    restarting.attend(host, ContainerId(args.container_id), pause.until)
    return 0
