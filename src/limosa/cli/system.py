"""limosa system"""

import argparse
import json

from limosa import wiring
from limosa.cli import table
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa system df
  limosa system prune --all"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="system_verb", required=True, metavar="df|prune")
    shown = verbs.add_parser("df", help="show what takes room on the disk")
    shown.add_argument("--json", action="store_true")
    pruned = verbs.add_parser("prune", help="remove stopped containers without commits, unneeded layers, build cache")
    pruned.add_argument("-a", "--all", action="store_true", help="also images that no container was made from")
    pruned.add_argument("--volumes", action="store_true", help="also volumes that no container has")
    pruned.add_argument("-f", "--force", action="store_true", help="accepted; nothing is asked")
    pruned.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    from limosa.cli.progress import human
    from limosa.engine import images, system_prune

    host = wiring.host(wiring.root_of(args.root))
    if args.system_verb == "df":
        shares = images.disk_use(host)
        if args.json:
            print(json.dumps([codec.to_jsonable(share) for share in shares], indent=1))
        else:
            rows = [
                (
                    share.what,
                    str(share.total),
                    str(share.active),
                    human(share.size_bytes),
                    human(share.reclaimable_bytes),
                )
                for share in shares
            ]
            print(table.render(("WHAT", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"), rows))
        return 0
    done = system_prune.prune(host, unused_images=args.all, unused_volumes=args.volumes)
    if args.json:
        print(json.dumps(codec.to_jsonable(done), indent=1))
    else:
        print("\n".join([*done.lines, f"freed {human(done.freed_bytes)}"]))
    return 0
