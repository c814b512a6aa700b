"""limosa fetch"""

import argparse

from limosa import wiring
from limosa.cli import peer_options, push
from limosa.cli.progress import ProgressLine
from limosa.engine import commits, exchange

EXAMPLES = f"""\
examples:
  limosa fetch /mnt/backup             every commit that is there
  limosa fetch /mnt/backup db good
  limosa fetch --init /mnt/backup      on a new host
  limosa fetch root@spare db           through ssh
DIR is the root of another host of limosa (its --root): what has a slash, or is a directory here.
{peer_options.HOSTS}
The latest commit of a container is found by its name afterwards, unless this host has another one of it; every one by
its id. limosa restore and fork bring them to life."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    push.add_options(parser, "this host, which has no commits yet, gets the other one's key")
    parser.add_argument("--history", action="store_true", help="also what they descend from")
    parser.add_argument("source", metavar="DIR|HOST")
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="as it is called there; all if none is named")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    root = wiring.root_of(args.root)
    host = wiring.host(root)
    if peer_options.is_directory(host, args.source):
        return _from_directory(args, root)
    with exchange.reached(host, peer_options.address(host, args.source, args.ssh_option)) as peer:
        if args.init:
            exchange.take_key(host, peer)
        with ProgressLine(quiet=args.json) as line:
            names = tuple(args.commits)
            done = exchange.fetch(host, peer, names, line.update, history=args.history, with_images=not args.no_image)
    return push.told(args, done.commits, done.images, done.sent_bytes, "received")


def _from_directory(args: argparse.Namespace, root: str) -> int:
    source = wiring.other_host(args.source)
    if args.init:
        wiring.share_key(args.source, root)
    host = wiring.host(root)
    if args.commits:
        records = [commits.find(source, reference) for reference in args.commits]
        if args.history:
            records = commits.descent(source, {commits.identifier(record) for record in records})
    else:
        records = commits.every(source)
    return push.moved(args, source, host, records)
