"""limosa image"""

import argparse
import json
from importlib import import_module
from typing import Final

from limosa import wiring
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa image pull redis:7
  limosa image import rootfs.tar.zst debian
  limosa image build -t web .
  limosa image push web 127.0.0.1:5000/web
  limosa image ls --json
  limosa image tag web 127.0.0.1:5000/web:2
  limosa image inspect web | jq .[0].layers
  limosa image rm web
  limosa image prune --all"""

# verb -> (module, what it does)
_MODULES: Final = {
    "pull": ("pull", "bring images from a registry"),
    "push": ("image_push", "send an image to a registry"),
    "import": ("image_import", "take in a root file system, a docker or an OCI archive"),
    "build": ("image_build", "build an image from a Containerfile"),
    "ls": ("images", "list images"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(
        dest="image_verb", required=True, metavar="pull|push|import|build|ls|tag|inspect|rm|prune"
    )
    for verb, (module_name, summary) in _MODULES.items():
        module = import_module(f"limosa.cli.{module_name}")
        below = verbs.add_parser(
            verb, help=summary, epilog=module.EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        module.configure(below)
    tagged = verbs.add_parser("tag", help="give an image one more name")
    tagged.add_argument("reference", metavar="IMAGE")
    tagged.add_argument("new_reference", metavar="NAME")
    shown = verbs.add_parser("inspect", help="show everything about images, as JSON")
    shown.add_argument("--json", action="store_true", help="accepted; it is JSON anyway")
    shown.add_argument("references", nargs="+", metavar="IMAGE")
    removed = verbs.add_parser("rm", help="remove names, and an image with its last name")
    removed.add_argument("-f", "--force", action="store_true", help="also if a container was made from it")
    removed.add_argument("references", nargs="+", metavar="IMAGE")
    pruned = verbs.add_parser("prune", help="remove what no name and no container needs")
    pruned.add_argument("-a", "--all", action="store_true", help="also images that no container was made from")
    pruned.add_argument("-f", "--force", action="store_true", help="accepted; nothing is asked")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.image_verb in _MODULES:
        status: int = import_module(f"limosa.cli.{_MODULES[args.image_verb][0]}").run(args)
        return status
    from limosa.cli.progress import human
    from limosa.engine import images

    host = wiring.host(wiring.root_of(args.root))
    if args.image_verb == "tag":
        print(host.oci_images.tag(args.reference, args.new_reference).reference)
    elif args.image_verb == "inspect":
        found = [host.oci_images.resolve(reference) for reference in args.references]
        print(json.dumps([codec.to_jsonable(item) for item in found], indent=1))
    elif args.image_verb == "rm":
        for reference in args.references:
            for line in images.remove(host, reference, force=args.force):
                print(line)
    else:
        done = images.prune(host, unused_too=args.all)
        print("\n".join([*done.references, f"freed {human(done.freed_bytes)}"]))
    return 0
