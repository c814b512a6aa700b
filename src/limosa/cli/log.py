"""limosa log"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import table
from limosa.model import codec
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa log
  limosa log db"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", nargs="?", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    wanted = host.containers.find(args.container).container_id if args.container else None
    commits = [commit for commit in host.commits.all() if wanted in (None, commit.container.container_id)]
    if args.json:
        print(json.dumps([codec.to_jsonable(commit) for commit in commits], indent=1))
        return 0
    rows = [
        (
            short(commit.commit_id),
            commit.container.config.name,
            time.strftime("%F %T", time.localtime(commit.created_ns / 1e9)),
            f"{commit.frozen_ns / 1e6:.0f} ms",
            commit.message,
        )
        for commit in reversed(commits)
    ]
    print(table.render(("COMMIT", "CONTAINER", "TIME", "FROZEN", "MESSAGE"), rows))
    return 0
