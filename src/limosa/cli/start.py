"""limosa start"""

import argparse
import sys

from limosa import wiring
from limosa.cli import each
from limosa.engine import lifecycle
from limosa.engine.host import Host
from limosa.model.errors import EXIT_FAILURE, EXIT_OK

EXAMPLES = """\
examples:
  limosa start web
  limosa start --onboot          what the boot unit of `limosa setup` calls"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--onboot", action="store_true", help="those that are to run after the machine's boot")
    which.add_argument("containers", nargs="*", default=[], metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.onboot:
        return _onboot(host)
    return each.container(host, args.containers, lambda record: lifecycle.start(host, record.container_id))


def _onboot(host: Host) -> int:
    from limosa.engine import restarting

    done = restarting.onboot(host)
    for name in done.started:
        print(name)
    for _, failed in done.failures:
        print(failed, file=sys.stderr)
    return EXIT_FAILURE if done.failures else EXIT_OK
