"""limosa recover"""

import argparse
import json

from limosa import wiring
from limosa.engine import recover

EXAMPLES = """\
examples:
  limosa recover"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    done = recover.recover(wiring.host(wiring.root_of(args.root)))
    print(json.dumps(done.lines) if args.json else "\n".join(done.lines) or "nothing to recover")
    return 0
