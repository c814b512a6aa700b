"""limosa reflog"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import table
from limosa.engine import commits
from limosa.model.commit_store import container_ref

EXAMPLES = """\
examples:
  limosa reflog db      what its latest commit was, the last change first: finds what was rewound"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    owner = commits.owner(host, args.container)
    changes = [change for change in reversed(host.store.ref_log(container_ref(owner))) if change.new is not None]
    if args.json:
        rows = [{"commit": one.new.hex(), "when_ns": one.when_ns, "why": one.why} for one in changes if one.new]
        print(json.dumps(rows, indent=1))
        return 0
    lines = [
        (one.new.hex()[:12], time.strftime("%F %T", time.localtime(one.when_ns / 1e9)), one.why)
        for one in changes
        if one.new
    ]
    print(table.render(("COMMIT", "TIME", "WHY"), lines))
    return 0
