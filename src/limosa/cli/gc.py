"""limosa gc"""

import argparse
import json

from limosa import wiring
from limosa.cli import values
from limosa.cli.progress import ProgressLine
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa gc
  limosa gc --reflog-days 0     also what was rewound"""
_DAY_NS = 86_400 * 10**9


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--reflog-days",
        type=values.days,
        default=30.0,
        metavar="N",
        help="keep what `reflog` shows of the last N days (30)",
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    with ProgressLine(quiet=args.json) as line:
        host.store.report_to(line.update)
        done = host.store.collect(log_before_ns=host.now_ns() - int(args.reflog_days * _DAY_NS))
    if args.json:
        print(json.dumps(codec.to_jsonable(done), indent=1))
    else:
        print(f"{done.commits_kept} commits kept, {done.bytes_freed / 1e6:.1f} MB freed")
    return 0
