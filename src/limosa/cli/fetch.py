"""limosa fetch"""

import argparse

from limosa import wiring
from limosa.cli import push
from limosa.engine import commits

EXAMPLES = """\
examples:
  limosa fetch /mnt/backup             every commit that is there
  limosa fetch /mnt/backup db good
  limosa fetch --init /mnt/backup      on a new host
DIR is the root of another host of limosa (its --root). The latest commit of a container is found by its name
afterwards, unless this host has another one of it; every one by its id. limosa restore and fork bring them to life."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    push.add_options(parser, "this host, which has no commits yet, gets the other one's key")
    parser.add_argument("--history", action="store_true", help="also what they descend from")
    parser.add_argument("source", metavar="DIR")
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="as it is called there; all if none is named")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    root = wiring.root_of(args.root)
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
