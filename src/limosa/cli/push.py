"""limosa push"""

import argparse
import json

from limosa import wiring
from limosa.cli.progress import ProgressLine
from limosa.engine import commits, transfers
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord

EXAMPLES = """\
examples:
  limosa push db /mnt/backup --init      the latest commit of db, and its image, to an empty directory
  limosa push --history good /mnt/backup
  limosa --root /mnt/backup log
DIR is the root of another host of limosa (its --root). Both have one key: --init gives it to a host that has no
commits yet. Only what is lacking there is sent."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "the commit store there is made, with this host's key")
    parser.add_argument("--history", action="store_true", help="also what it descends from")
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("target", metavar="DIR")


def add_options(parser: argparse.ArgumentParser, init: str) -> None:
    """Add what `push` and `fetch` have in common; `init` says what --init does."""
    parser.add_argument("--init", action="store_true", help=init)
    parser.add_argument("--no-image", action="store_true", help="leave the image out: it has to be there for a restore")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    root = wiring.root_of(args.root)
    host = wiring.host(root)
    record = commits.find(host, args.commit)
    records = transfers.with_history(host, record) if args.history else [record]
    target = wiring.other_host(args.target, take_key_of=root if args.init else "")
    return moved(args, host, target, records)


def moved(args: argparse.Namespace, source: Host, target: Host, records: list[CommitRecord]) -> int:
    """Send commits from one host to another, images first, and say what was sent."""
    images: list[str] = []
    transfers.require_one_key(source, target)
    if not args.no_image:
        with ProgressLine(quiet=args.json) as line:
            images = transfers.share_images(source, target, records, line.update)
    sent_bytes = transfers.send(source, target, records)
    if args.json:
        ids = [record.commit_id for record in records]
        print(json.dumps({"commits": ids, "images": images, "sent_bytes": sent_bytes}, indent=1))
        return 0
    also = f", and {', '.join(images)}" if images else ""
    print(f"{len(records)} {'commit' if len(records) == 1 else 'commits'}, {sent_bytes / 1e6:.1f} MB sent{also}")
    return 0
