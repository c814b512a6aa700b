"""What the monitor calls when a container's first process has ended. Not for people."""

import argparse

from limosa import wiring
from limosa.engine import lifecycle
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId

EXAMPLES = ""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("container_id")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    container_id = ContainerId(args.container_id)
    try:
        record = lifecycle.on_exit(host, container_id)
        if record.phase == "stopped" and record.config.remove_when_stopped:
            lifecycle.remove(host, container_id)
    except LimosaError as gone:
        if gone.code != "LIM-NAME-003":  # another command removed it first
            raise
    return 0
