"""limosa verify"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from limosa import wiring
from limosa.cli import table, values
from limosa.cli.progress import ProgressLine
from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model import codec
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import Damage, VerifyReport
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import short

if TYPE_CHECKING:
    from limosa.engine.trial import Verdict

EXAMPLES = """\
examples:
  limosa verify                                   every chunk of every commit against its digest
  limosa verify db~1 good
  limosa verify --trial db                        and it is restored for real, apart from everybody, and runs
  limosa verify --trial --probe 'redis-cli get bird | grep -q limosa' db

A trial is a copy with files and an identity of its own, whose network leads nowhere; nothing is left of it. Its first
process has to live, and the probe, a command line for the container's shell, has to end with 0 within --within.

exit status: 0 if nothing is damaged, and every trial worked; 1 otherwise"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--trial", action="store_true", help="restore the commits in isolation, and let them run")
    parser.add_argument("--probe", default="", metavar="COMMAND", help="ask what was restored; repeated until it is 0")
    parser.add_argument("--run", type=values.seconds, default=2.0, metavar="SECONDS", help="it runs so long first (2)")
    parser.add_argument(
        "--within", type=values.seconds, default=10.0, metavar="SECONDS", help="how long the probe may fail (10)"
    )
    parser.add_argument("--json", action="store_true")
    parser.add_argument("commits", nargs="*", metavar="COMMIT", help="all if none is named")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if args.probe and not args.trial:
        raise LimosaError("LIM-CLI-003", "--probe is of --trial", hint="add --trial", exit_status=EXIT_USAGE)
    host = wiring.host(wiring.root_of(args.root))
    named = [commits.find(host, reference) for reference in args.commits]
    with ProgressLine(quiet=args.json) as line:
        host.store.report_to(line.update)
        found = host.store.verify([commits.identifier(one) for one in named] or None)
    verdicts = _tried(host, args, named or commits.every(host)) if args.trial else []
    if args.json:
        damages = [_as_json(damage) for damage in found.damages]
        told: dict[str, Any] = {"commits": found.commits, "bytes_read": found.bytes_read, "damages": damages}
        if args.trial:
            told["trials"] = [codec.to_jsonable(verdict) for verdict in verdicts]
        print(json.dumps(told, indent=1))
    else:
        _tell(found, verdicts)
    return 1 if found.damages or any(verdict.outcome != "works" for verdict in verdicts) else 0


def _tried(host: Host, args: argparse.Namespace, wanted: list[CommitRecord]) -> "list[Verdict]":
    from limosa.engine import trial

    host.storage.prepare()
    terms = trial.Terms(args.probe, args.run, args.within)
    with _output_to_stderr():
        return [trial.trial(host, commit, terms, time.sleep) for commit in wanted]


@contextmanager
def _output_to_stderr() -> Iterator[None]:
    """Send what probes print where it is in nobody's way."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _tell(found: VerifyReport, verdicts: "list[Verdict]") -> None:
    for damage in found.damages:
        print(f"damaged: {damage.what} {damage.object_id.hex()[:12]}: {damage.why}")
        for place in damage.affects:
            print(f"  {place.commit.hex()[:12]} {place.key.decode(errors='backslashreplace')}")
    if verdicts:
        rows = [
            (short(one.commit_id), one.container, one.outcome, f"{one.took_ns / 1e9:.1f} s", one.why)
            for one in verdicts
        ]
        print(table.render(("COMMIT", "CONTAINER", "TRIAL", "TOOK", "WHY"), rows))
    commits = "1 commit" if found.commits == 1 else f"{found.commits} commits"
    print(f"{commits}, {found.bytes_read / 1e6:.1f} MB read, {len(found.damages)} damages")


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
