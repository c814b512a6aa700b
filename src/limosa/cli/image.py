"""limosa image"""

import argparse
import json

from limosa import wiring
from limosa.cli import table
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa image import rootfs.tar.zst debian
  limosa image ls"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="image_verb", required=True, metavar="import|ls|rm")
    taken = verbs.add_parser("import", help="take in a root file system: a tar or a directory")
    taken.add_argument("path", metavar="ROOTFS")
    taken.add_argument("reference", metavar="NAME")
    listed = verbs.add_parser("ls", help="list images")
    listed.add_argument("--json", action="store_true")
    removed = verbs.add_parser("rm", help="remove images")
    removed.add_argument("-f", "--force", action="store_true")
    removed.add_argument("references", nargs="+", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.image_verb == "import":
        print(host.oci_images.import_archive(args.path, args.reference, lambda *_: None).reference)
    elif args.image_verb == "ls":
        found = host.oci_images.all()
        if args.json:
            print(json.dumps([codec.to_jsonable(item) for item in found], indent=1))
        else:
            rows = [(item.reference, item.digest[7:19], f"{item.size_bytes >> 20} MiB") for item in found]
            print(table.render(("NAME", "DIGEST", "SIZE"), rows))
    else:
        in_use = frozenset(layer for record in host.containers.all() for layer in record.layers)
        for reference in args.references:
            for line in host.oci_images.remove(reference, in_use, args.force):
                print(line)
    return 0
