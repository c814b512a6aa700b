"""limosa images, limosa image ls"""

import argparse

from limosa import wiring
from limosa.cli import table
from limosa.model import codec, json_text

EXAMPLES = """\
examples:
  limosa images
  limosa image ls --json"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-q", "--quiet", action="store_true", help="print digests only")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from limosa.cli.progress import human

    found = wiring.host(wiring.root_of(args.root)).oci_images.all()
    if args.json:
        print(json_text.dumps([codec.to_jsonable(item) for item in found], indent=1))
    elif args.quiet:
        for digest in dict.fromkeys(item.digest for item in found):
            print(digest)
    else:
        rows = [
            (item.reference, item.digest[7:19], item.created[:10], str(len(item.layers)), human(item.size_bytes))
            for item in found
        ]
        print(table.render(("NAME", "DIGEST", "CREATED", "LAYERS", "SIZE"), rows))
    return 0
