"""limosa rewind"""

import argparse

from limosa import wiring
from limosa.cli import lazy_option
from limosa.engine import commits, rewind

EXAMPLES = """\
examples:
  limosa rewind db good
  limosa rewind db db~2        two commits back
  limosa rewind --discard db 5f2c9a

It runs afterwards. What it was is kept as a commit first, and named: of one that does not run its files; a paused one
goes on for a moment for that. limosa reflog db finds it later."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--discard", action="store_true", help="keep no commit of what is thrown away")
    lazy_option.add(parser)
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    container_id = host.containers.find(args.container).container_id
    commit = commits.find(host, args.commit)
    kept = rewind.rewind(host, container_id, commit, discard=args.discard, laziness=args.lazy)
    if kept is None:
        print(args.container)
    else:
        what = "what was thrown away, its files," if kept.files_only else "what was thrown away"
        print(f"{args.container}: {what} is {kept.commit_id[:12]}")
    return 0
