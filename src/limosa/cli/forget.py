"""limosa forget"""

import argparse

from limosa import wiring
from limosa.engine import commits

EXAMPLES = """\
examples:
  limosa forget 5f2c9a
  limosa forget --history db    every commit of a container; limosa gc frees the room"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--history", metavar="CONTAINER", help="every commit that a container made")
    parser.add_argument("commits", nargs="*", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    wanted = [commits.find(host, reference) for reference in args.commits]
    if args.history:
        owner = commits.find(host, args.history).container.container_id
        wanted += [commit for commit in commits.every(host) if commit.container.container_id == owner]
    for commit in reversed(wanted):
        commits.forget(host, commit)
        print(commit.commit_id)
    return 0
