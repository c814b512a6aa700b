"""limosa show"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import memory_names, table
from limosa.engine import commit_contents, commits
from limosa.model import codec, trust
from limosa.model.commit import CommitRecord
from limosa.model.commit_contents import Contents
from limosa.model.commit_store import PAGE_BYTES

EXAMPLES = """\
examples:
  limosa show db            the latest commit of db
  limosa show good
  limosa show --json 5f2c9a | jq .commit.container.config.env"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("commit", metavar="COMMIT")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    found = commit_contents.contents(host, commits.find(host, args.commit))
    print(json.dumps(codec.to_jsonable(found), indent=1) if args.json else _text(found))
    return 0


def _text(found: Contents) -> str:
    commit = found.commit
    config = commit.container.config
    names = memory_names.of(found.processes)
    fields = [
        ("commit", commit.commit_id),
        ("parent", commit.parent or "-"),
        ("container", f"{config.name} ({commit.container.container_id})"),
        ("image", config.oci_image),
        ("command", " ".join(config.args)),
        ("time", time.strftime("%F %T %z", time.localtime(commit.created_ns / 1e9))),
        ("message", commit.message),
        ("made by", trust.shown(commit.origin) if commit.origin else ""),
        ("tags", ", ".join(found.tags)),
        ("frozen", "" if commit.files_only else _frozen(commit)),
        ("files", f"{found.n_files} of its own, {table.size(found.file_bytes)}"),
        ("memory", "none: what comes back from it is started" if commit.files_only else _memory(found)),
    ]
    lines = [f"{name + ':':<11}{value}" for name, value in fields if value]
    if commit.files_only:
        return "\n".join(lines)
    rows = [(names(memory.name), table.size(memory.n_pages * PAGE_BYTES)) for memory in found.memories]
    return "\n".join([*lines, "", table.render(("MEMORY OF", "SIZE"), rows)])


def _frozen(commit: CommitRecord) -> str:
    return f"{commit.frozen_ns / 1e6:.0f} ms{', and ended by it' if commit.stopped else ''}"


def _memory(found: Contents) -> str:
    return f"{table.size(found.memory_bytes)} in {len(found.processes)} processes"
