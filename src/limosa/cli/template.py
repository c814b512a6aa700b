"""limosa template"""

import argparse
import json

from limosa import wiring
from limosa.cli import table
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa template build debian:13
  limosa template build busybox --name localhost/tiny
  limosa template ls"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="template_verb", required=True, metavar="build|ls")
    built = verbs.add_parser("build", help="make an image from packages")
    built.add_argument("--name", default="", metavar="IMAGE", help="the image's name, instead of the template's")
    built.add_argument("-q", "--quiet", action="store_true", help="print nothing but the image's name")
    built.add_argument("template", metavar="debian:13|debian:12|busybox")
    listed = verbs.add_parser("ls", help="list what can be built")
    listed.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.template_verb == "ls":
        found = host.templates.all()
        if args.json:
            print(json.dumps([codec.to_jsonable(item) for item in found], indent=1))
        else:
            rows = [(item.name, item.reference, item.summary) for item in found]
            print(table.render(("TEMPLATE", "IMAGE", "WHAT"), rows))
        return 0
    from limosa.cli.progress import ProgressLine
    from limosa.engine import templates

    with ProgressLine(quiet=args.quiet) as line:
        made = templates.build(host, args.template, args.name, line.log, line.update)
    print(made.reference)
    return 0
