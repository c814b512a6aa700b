"""limosa import"""

import argparse

from limosa import wiring
from limosa.cli.progress import ProgressLine
from limosa.engine import transfers

EXAMPLES = """\
examples:
  limosa import db.commit      prints the ids of its commits
  limosa fork "$(limosa import good)"
The commits of a file of another host are restored if a key that `limosa trust` has signed them. It is refused if what
it holds would get commands, directories or devices of the host. --trust takes it all the same, as if this host had made
it. Restore no commit of somebody whose programs you would not execute."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--trust", action="store_true", help="vouch for it, also for what reaches out of its container")
    parser.add_argument("file", metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    with ProgressLine() as line:
        host.store.report_to(line.update)
        records = transfers.import_file(host, args.file, trust=args.trust)
    for record in records:
        print(record.commit_id, flush=True)
    return 0
