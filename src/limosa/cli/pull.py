"""limosa pull, limosa image pull"""

import argparse

from limosa import wiring
from limosa.cli import registry_options
from limosa.cli.progress import ProgressLine
from limosa.engine import images

EXAMPLES = """\
examples:
  limosa pull redis:7
  limosa pull 127.0.0.1:5000/team/web:1.2
  limosa pull --tls-verify=false registry.lan/web"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    registry_options.configure(parser)
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing but the image's name")
    parser.add_argument("references", nargs="+", metavar="IMAGE")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for reference in args.references:
        with ProgressLine(quiet=args.quiet) as line:
            made = images.pull(host, reference, line.update, registry_options.registry(args))
        print(made.reference)
    return 0
