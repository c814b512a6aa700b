"""limosa fork"""

import argparse

from limosa import wiring
from limosa.cli import values
from limosa.engine import checkpoint, commits, restore
from limosa.engine.host import Host
from limosa.model.commit import CommitRecord
from limosa.model.errors import LimosaError

EXAMPLES = """\
examples:
  limosa fork db                    a copy of a running container, as it is now
  limosa fork -n 3 5f2c9a
  limosa fork --name trial good"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-n", "--number", type=values.count, default=1, metavar="N", help="how many copies")
    parser.add_argument("--name", default="", metavar="PATTERN", help="their name; -1, -2, … is added for several")
    parser.add_argument("source", metavar="CONTAINER|COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    commit = _commit(host, args.source)
    several = args.number > 1 and args.name
    names = [f"{args.name}-{index + 1}" if several else args.name for index in range(args.number)]
    restore.fork(host, commit, names, lambda record: print(record.config.name, flush=True))
    return 0


def _commit(host: Host, source: str) -> CommitRecord:
    """Return a new commit of a running container, or the commit that `source` means."""
    try:
        record = host.containers.find(source)
    except LimosaError:
        return commits.find(host, source)
    if record.phase == "running":
        return checkpoint.checkpoint(host, record.container_id, checkpoint.Wanted("fork"))
    return commits.find(host, source)
