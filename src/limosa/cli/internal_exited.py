"""What the monitor calls when a container's first process has ended. Not for people."""

import argparse
import os

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
    os.chdir("/")  # it starts in the monitor's directory, which is going
    host = wiring.host(wiring.root_of(args.root))
    restarting.attend(host, ContainerId(args.container_id), pause.until)
    return 0
