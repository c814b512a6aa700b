"""limosa diff"""

import argparse
import json

from limosa import wiring
from limosa.cli import table
from limosa.engine import commit_contents, commits
from limosa.model import codec
from limosa.model.commit_contents import Difference
from limosa.model.commit_store import PAGE_BYTES

EXAMPLES = """\
examples:
  limosa diff db~1 db
  limosa diff good copy-1
Files are those of the container and of its volumes: one of its image that was first written in between counts as added.
Memory is counted in pages of 4096 bytes; --json has their places. + is added, ~ changed, - removed."""
_MARKS = {"added": "+", "changed": "~", "removed": "-"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("before", metavar="COMMIT")
    parser.add_argument("after", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    found = commit_contents.difference(host, commits.find(host, args.before), commits.find(host, args.after))
    if args.json:
        print(json.dumps(codec.to_jsonable(found), indent=1))
        return 0
    print("\n".join(_lines(found)), end="\n" if any(found) else "")
    return 0


def _lines(found: Difference) -> list[str]:
    lines = []
    for file in found.files:
        before, after = map(table.size, file.size_bytes)
        sizes = {"added": after, "removed": before, "changed": f"{before} -> {after}"}[file.change]
        place = f", on the volume {file.volume}" if file.volume else ""
        lines.append(f"{_MARKS[file.change]} file {file.path}  ({sizes}{place})")
    for process in found.processes:
        words = " -> ".join(command for command in process.commands if command)
        lines.append(f"{_MARKS[process.change]} process {words} (pid {process.pid})")
    for memory in found.memories:
        name = memory.name.removeprefix("pagemap-").removesuffix(".img")
        name = f"shared {name.removeprefix('shmem-')}" if name.startswith("shmem-") else f"of pid {name}"
        size = table.size(memory.n_pages * PAGE_BYTES)
        lines.append(f"{_MARKS[memory.change]} memory {name}  ({memory.n_pages} pages, {size})")
    for setting in found.settings:
        lines.append(f"~ setting {setting.name}: {json.dumps(setting.before)} -> {json.dumps(setting.after)}")
    return lines
