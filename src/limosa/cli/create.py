"""limosa create"""

import argparse

from limosa import wiring
from limosa.cli import container_options
from limosa.engine import lifecycle

EXAMPLES = """\
examples:
  limosa create --name web -p 8080:80 nginx"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-i", "--interactive", action="store_true", help="keep standard input open")
    container_options.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    config = container_options.config(args)._replace(stdin_open=args.interactive)
    print(lifecycle.create(host, config).container_id)
    return 0
