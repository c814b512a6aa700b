"""limosa pool"""

import argparse
import json
from collections import Counter

from limosa import wiring
from limosa.cli import table
from limosa.engine import commits, warm
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa fork --warm 5 good        makes five copies of the commit ahead
  limosa pool ls
  limosa fork -n 2 good            takes two of them
  limosa pool rm good
  limosa pool rm --all"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="pool_verb", required=True, metavar="ls|rm")
    listed = verbs.add_parser("ls", help="list the commits of which there are warm copies")
    listed.add_argument("--json", action="store_true")
    removed = verbs.add_parser("rm", help="remove the warm copies of commits, and print their names")
    removed.add_argument("-a", "--all", action="store_true", help="of every commit")
    removed.add_argument("commits", nargs="*", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.pool_verb == "rm":
        return _remove(host, args)
    waiting = warm.ready(host)
    if args.json:
        print(json.dumps([_as_json(host, record) for record in waiting], indent=1))
        return 0
    copies = Counter(record.warm_of for record in waiting)
    memory: Counter[str] = Counter()
    for record in waiting:
        memory[record.warm_of] += host.cgroups.usage(record.container_id).memory_bytes
    rows = [(short(commit), str(number), table.size(memory[commit])) for commit, number in copies.items()]
    print(table.render(("COMMIT", "COPIES", "MEMORY"), rows))
    return 0


def _as_json(host: Host, record: ContainerRecord) -> dict[str, object]:
    return {
        "commit": record.warm_of,
        "container_id": record.container_id,
        "name": record.config.name,
        "made_ns": record.created_ns,
        "memory_bytes": host.cgroups.usage(record.container_id).memory_bytes,
    }


def _remove(host: Host, args: argparse.Namespace) -> int:
    if args.all == bool(args.commits):
        hint = "limosa pool ls"
        raise LimosaError("LIM-CLI-003", "say of which commits, or --all", hint=hint, exit_status=EXIT_USAGE)
    chosen = [""] if args.all else [commits.find(host, reference).commit_id for reference in args.commits]
    for commit_id in chosen:
        for record in warm.drop(host, warm.ready(host, commit_id)):
            print(record.config.name)
    return 0
