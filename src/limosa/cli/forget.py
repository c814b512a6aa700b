"""limosa forget"""

import argparse

from limosa import wiring

EXAMPLES = """\
examples:
  limosa forget 5f2c9a"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("commits", nargs="+", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for reference in args.commits:
        commit = host.commits.find(reference)
        host.commits.remove(commit.commit_id)
        host.storage.drop_snapshot(commit.container.container_id, commit.commit_id)
        print(commit.commit_id)
    return 0
