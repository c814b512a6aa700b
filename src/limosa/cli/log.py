"""limosa log"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import table
from limosa.engine import commits
from limosa.model import codec
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa log
  limosa log db         also after limosa rm db"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", nargs="?", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    found = commits.every(host)
    if args.container:
        found = commits.history_of(host, commits.owner(host, args.container))
    tags = commits.tags(host)
    if args.json:
        print(json.dumps([{**codec.to_jsonable(one), "tags": tags.get(one.commit_id, [])} for one in found], indent=1))
        return 0
    rows = [
        (
            short(commit.commit_id),
            short(commit.parent),
            commit.container.config.name,
            time.strftime("%F %T", time.localtime(commit.created_ns / 1e9)),
            f"{commit.frozen_ns / 1e6:.0f} ms",
            ", ".join(tags.get(commit.commit_id, [])),
            commit.message,
        )
        for commit in reversed(found)
    ]
    print(table.render(("COMMIT", "PARENT", "CONTAINER", "TIME", "FROZEN", "TAGS", "MESSAGE"), rows))
    return 0
