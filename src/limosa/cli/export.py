"""limosa export"""

import argparse
import os

from limosa import wiring
from limosa.cli.progress import ProgressLine
from limosa.engine import commits, transfers
from limosa.model.errors import LimosaError

EXAMPLES = """\
examples:
  limosa export db db.commit                       for hosts that have this one's key
  limosa export --for-strangers good /mnt/usb/good  for anybody: memory and files are readable to whoever has the file
The file has no image: limosa image push, or limosa push, brings it to where the commit is to be restored."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--history", action="store_true", help="also what it descends from")
    parser.add_argument("--for-strangers", action="store_true", help="for hosts of any key: one of its own is in it")
    parser.add_argument("-f", "--force", action="store_true", help="replace a file that is there")
    parser.add_argument("commit", metavar="COMMIT")
    parser.add_argument("file", metavar="FILE")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = commits.find(host, args.commit)
    if os.path.lexists(args.file) and not args.force:
        raise LimosaError("LIM-COMM-022", f"{args.file} is there already", hint="--force replaces it")
    records = transfers.with_history(host, record) if args.history else [record]
    with ProgressLine() as line:
        host.store.report_to(line.update)
        size_bytes = transfers.export(host, records, args.file, for_strangers=args.for_strangers)
    print(f"{len(records)} {'commit' if len(records) == 1 else 'commits'}, {size_bytes / 1e6:.1f} MB")
    return 0
