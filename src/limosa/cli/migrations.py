"""limosa migrations"""

import argparse
import json

from limosa import wiring
from limosa.cli import table
from limosa.model import codec, migration

EXAMPLES = """\
examples:
  limosa migrations          what moves, and what a crash or a lost link has left, with what it waits for
limosa recover goes on with what nobody works at."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    found = [(entry, "at work" if host.migrations.busy(entry.migration_id) else "") for entry in host.migrations.all()]
    if args.json:
        print(json.dumps([{**codec.to_jsonable(one), "at_work": bool(busy)} for one, busy in found], indent=1))
        return 0
    rows = [(one.name, one.side, one.phase, one.peer_name, busy or migration.waits_for(one)) for one, busy in found]
    print(table.render(("NAME", "SIDE", "PHASE", "OTHER HOST", "WAITS FOR"), rows))
    return 0
