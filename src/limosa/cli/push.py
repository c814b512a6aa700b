"""limosa push"""

import argparse
import json

from limosa import wiring
from limosa.cli import peer_options
from limosa.cli.progress import ProgressLine
from limosa.engine import commits, exchange, transfers
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord

EXAMPLES = f"""\
examples:
  limosa push db /mnt/backup --init      the latest commit of db, and its image, to an empty directory
  limosa push --history good /mnt/backup
  limosa --root /mnt/backup log
  limosa push db root@spare              through ssh, to the host there
DIR is the root of another host of limosa (its --root): what has a slash, or is a directory here.
{peer_options.HOSTS}
Both hosts have one key: --init gives it to a host that has no commits yet. Only what is lacking there is sent, each
chunk checked as it comes; what has arrived is not sent again after an interruption."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_options(parser, "the commit store there is made, with this host's key")
    parser.add_argument("--history", action="store_true", help="also what it descends from")
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("target", metavar="DIR|HOST")


def add_options(parser: argparse.ArgumentParser, init: str) -> None:
    """Add what `push` and `fetch` have in common; `init` says what --init does."""
    parser.add_argument("--init", action="store_true", help=init)
    parser.add_argument("--no-image", action="store_true", help="leave the image out: it has to be there for a restore")
    peer_options.add_options(parser)
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    root = wiring.root_of(args.root)
    host = wiring.host(root)
    record = commits.find(host, args.commit)
    records = transfers.with_history(host, record) if args.history else [record]
    if peer_options.is_directory(host, args.target):
        if args.init and not args.no_image:  # a missing image leaves no new store behind
            transfers.lacking_images(host, wiring.images_at(args.target), records)
        target = wiring.other_host(args.target, take_key_of=root if args.init else "")
        return moved(args, host, target, records)
    with exchange.reached(host, peer_options.address(host, args.target, args.ssh_option)) as found:
        if args.init and not args.no_image:
            exchange.require_images(host, found, records)
        peer = exchange.give_key(host, found) if args.init else found
        with ProgressLine(quiet=args.json) as line:
            done = exchange.push(host, peer, records, line.update, with_images=not args.no_image)
    return told(args, done.commits, done.images, done.sent_bytes, "sent")


def moved(args: argparse.Namespace, source: Host, target: Host, records: list[CommitRecord]) -> int:
    """Send commits from one host to another of this machine, images first, and say what was sent."""
    images: list[str] = []
    transfers.require_one_key(source, target)
    with ProgressLine(quiet=args.json) as line:
        if not args.no_image:
            images = transfers.share_images(source, target, records, line.update)
        source.store.report_to(line.update)
        size_bytes = transfers.send(source, target, records)
    return told(args, records, images, size_bytes, "sent")


def told(args: argparse.Namespace, records: list[CommitRecord], images: list[str], size_bytes: int, done: str) -> int:
    """Say what was moved."""
    if args.json:
        ids = [record.commit_id for record in records]
        print(json.dumps({"commits": ids, "images": images, f"{done}_bytes": size_bytes}, indent=1))
        return 0
    also = f", and {', '.join(images)}" if images else ""
    print(f"{len(records)} {'commit' if len(records) == 1 else 'commits'}, {size_bytes / 1e6:.1f} MB {done}{also}")
    return 0
