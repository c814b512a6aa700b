"""limosa mount"""

import argparse
import json
import os
import time

from limosa import wiring
from limosa.cli import table
from limosa.engine import commit_mounts, commits
from limosa.model import codec
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa mount db~3 /mnt          the files of that commit, with its image's, read-only
  limosa mount                    lists what is mounted
  limosa umount /mnt              or umount(8)

Volumes are not in it. Owners are the container's: its root's files belong to root.
Setuid and devices have no effect."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("commit", nargs="?", metavar="COMMIT")
    parser.add_argument(
        "directory", nargs="?", metavar="DIR", help="a directory that is there; what is in it is hidden until umount"
    )


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.commit is None:
        found = commit_mounts.present(host)
        if args.json:
            print(json.dumps([codec.to_jsonable(one) for one in found], indent=1))
        else:
            rows = [
                (short(one.commit_id), time.strftime("%F %T", time.localtime(one.made_ns / 1e9)), one.directory)
                for one in found
            ]
            print(table.render(("COMMIT", "MOUNTED", "DIRECTORY"), rows))
        return 0
    if args.directory is None:
        raise LimosaError(
            "LIM-CLI-002", "mount takes a commit and a directory", hint="limosa mount --help", exit_status=EXIT_USAGE
        )
    made = commit_mounts.mount(host, commits.find(host, args.commit), os.path.realpath(args.directory))
    print(json.dumps(codec.to_jsonable(made), indent=1) if args.json else made.directory)
    return 0
