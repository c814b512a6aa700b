"""limosa log"""

import argparse
import time
from collections.abc import Sequence

from limosa import wiring
from limosa.cli import table
from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model import codec, json_text
from limosa.model.commit import CommitRecord
from limosa.model.commit_graph import Node, lines
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa log
  limosa log db           also after limosa rm db
  limosa log --graph      as a tree: which containers came from which commits
  limosa log --graph db   the tree that db is a part of, with its forks and what it is a fork of

columns: NEW is what the store did not have before (memory and files, not compressed), FROZEN how long its processes
stood still, HERE the containers whose latest commit it is or which came from it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--graph", action="store_true", help="draw what descends from what, across forks")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", nargs="?", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.container:
        container_id = commits.owner(host, args.container)
        found = (commits.family_of if args.graph else commits.history_of)(host, container_id)
    else:
        found = commits.every(host)
    if args.json:
        tags, heads = commits.tags(host), commits.heads(host)
        told = [
            {**codec.to_jsonable(one), "tags": tags.get(one.commit_id, []), "here": heads.get(one.commit_id, [])}
            for one in found
        ]
        print(json_text.dumps(told, indent=1))
    else:
        print(_graph(host, found) if args.graph else _list(host, found))
    return 0


def _list(host: Host, found: Sequence[CommitRecord]) -> str:
    rows = _rows(host, found)
    parents = {record.commit_id: short(record.parent) for record in found}
    lined = [(rows[one.commit_id][0], parents[one.commit_id], *rows[one.commit_id][1:]) for one in reversed(found)]
    return table.render(("COMMIT", "PARENT", *_COLUMNS), lined)


def _graph(host: Host, found: Sequence[CommitRecord]) -> str:
    rows = _rows(host, found)
    drawn = lines(Node(one.commit_id, one.parent, one.created_ns) for one in found)
    nothing = ("",) * (len(_COLUMNS) + 1)
    lined = [(line.drawing, *(rows[line.name] if line.name else nothing)) for line in drawn]
    return table.render(("", "COMMIT", *_COLUMNS), lined)


_COLUMNS = ("CONTAINER", "TIME", "NEW", "FROZEN", "TAGS", "HERE", "MESSAGE")


def _rows(host: Host, found: Sequence[CommitRecord]) -> dict[str, tuple[str, ...]]:
    """Return what is said of each commit, its id first, then `_COLUMNS`."""
    tags, heads = commits.tags(host), commits.heads(host)
    return {
        one.commit_id: (
            short(one.commit_id),
            one.container.config.name,
            time.strftime("%F %T", time.localtime(one.created_ns / 1e9)),
            table.size(one.new_bytes),
            f"{one.frozen_ns / 1e6:.0f} ms",
            ", ".join(tags.get(one.commit_id, [])),
            ", ".join(heads.get(one.commit_id, [])),
            one.message,
        )
        for one in found
    }
