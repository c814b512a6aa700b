"""limosa verify"""

import argparse
import json
from typing import Any

from limosa import wiring
from limosa.engine import commits
from limosa.model.commit_store import Damage

EXAMPLES = """\
examples:
  limosa verify
  limosa verify db~1 good"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="all if none is named")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    wanted = [commits.identifier(commits.find(host, reference)) for reference in args.commits]
    found = host.store.verify(wanted or None)
    if args.json:
        damages = [_as_json(damage) for damage in found.damages]
        print(json.dumps({"commits": found.commits, "bytes_read": found.bytes_read, "damages": damages}, indent=1))
    else:
        for damage in found.damages:
            print(f"damaged: {damage.what} {damage.object_id.hex()[:12]}: {damage.why}")
            for place in damage.affects:
                print(f"  {place.commit.hex()[:12]} {place.key.decode(errors='backslashreplace')}")
        print(f"{found.commits} commits, {found.bytes_read / 1e6:.1f} MB read, {len(found.damages)} damages")
    return 1 if found.damages else 0


def _as_json(damage: Damage) -> dict[str, Any]:
    return {
        "object": damage.object_id.hex(),
        "what": damage.what,
        "why": damage.why,
        "affects": [
            {
                "commit": place.commit.hex(),
                "key": place.key.decode(errors="backslashreplace"),
                "page_runs": place.page_runs,
            }
            for place in damage.affects
        ],
    }
