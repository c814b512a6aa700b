"""limosa run"""

import argparse

from limosa import wiring
from limosa.cli import container_options
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa run --rm debian echo hello
  limosa run -d --name db -p 5432:5432 -m 1g -u postgres pg postgres -D /var/lib/postgresql/data"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-d", "--detach", action="store_true", help="print the id and leave it running")
    parser.add_argument("-i", "--interactive", action="store_true", help="keep standard input open")
    parser.add_argument("--rm", action="store_true", help="remove it when it has ended")
    container_options.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    config = container_options.config(args)._replace(stdin_open=args.interactive, remove_when_stopped=args.rm)
    record = lifecycle.create(host, config)
    container_id = record.container_id
    if args.detach:
        lifecycle.start(host, container_id)
        print(container_id)
        return 0
    return lifecycle.run_attached(host, container_id, stdin=args.interactive)
