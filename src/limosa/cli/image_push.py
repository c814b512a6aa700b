"""limosa image push"""

import argparse

from limosa import wiring
from limosa.cli import registry_options
from limosa.cli.progress import ProgressLine

EXAMPLES = """\
examples:
  limosa image push web 127.0.0.1:5000/team/web:1.2
  limosa image push registry.example/team/web"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    registry_options.configure(parser)
    parser.add_argument("--compression", choices=("gzip", "zstd"), default="gzip", help="of layers (gzip)")
    parser.add_argument("-q", "--quiet", action="store_true", help="print nothing")
    parser.add_argument("reference", metavar="IMAGE")
    parser.add_argument("destination", nargs="?", default="", metavar="DESTINATION", help="IMAGE, if it is not given")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    with ProgressLine(quiet=args.quiet) as line:
        access = registry_options.registry(args)
        host.oci_images.push(args.reference, args.destination, line.update, access, args.compression)
    return 0
