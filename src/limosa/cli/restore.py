"""limosa restore"""

import argparse

from limosa import wiring
from limosa.cli import lazy_option
from limosa.engine import commits, restore

EXAMPLES = """\
examples:
  limosa restore 5f2c9a
  limosa restore db            its latest commit, also after limosa rm db
  limosa restore --tcp close good
  limosa restore --no-start db  all is there and stands still; limosa start db lets it go on"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--name", default="", metavar="NAME", help="another name, for a container that was removed")
    parser.add_argument("--tcp", choices=("keep", "close"), help="connections with the outside")
    parser.add_argument(
        "--no-start",
        action="store_true",
        help="leave it paused before any of its processes has run; start lets it go on",
    )
    parser.add_argument(
        "--although-moved",
        action="store_true",
        help="also what `migrate --keep` left: if it is surely gone where it moved to",
    )
    lazy_option.add(parser)
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    keep = None if args.tcp is None else args.tcp == "keep"
    commit = commits.find(host, args.commit)
    options = {"start": not args.no_start, "although_moved": args.although_moved}
    record = restore.restore(host, commit, args.name, keep, laziness=args.lazy, **options)
    print(record.config.name)
    return 0
