"""limosa forget"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import table, values
from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa forget 5f2c9a
  limosa forget --history db    every commit of a container; limosa gc frees the room
  limosa forget --keep daily=7,weekly=4 --dry-run db
                                what would stay of the commits that db made, and why
  limosa forget --keep daily=7,weekly=4 db

With --keep, what a tag names stays, and a container's latest commit. A rule keeps the latest commit of each of the
last N hours, days, … in which there is one; `last` the N latest. The room is freed at once."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--history", metavar="CONTAINER", help="every commit that a container made")
    parser.add_argument(
        "--keep",
        type=values.retention,
        metavar="RULE=N,…",
        help="of the commits of the named containers: last, hourly, daily, weekly, monthly, yearly",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="with --keep: say it, and forget nothing")
    parser.add_argument("--json", action="store_true", help="with --keep: the same for a program")
    parser.add_argument("commits", nargs="*", metavar="COMMIT|CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.keep is not None:
        return _by_rule(host, args)
    if args.dry_run or args.json:
        raise LimosaError("LIM-CLI-003", "--dry-run and --json are of --keep", exit_status=EXIT_USAGE)
    if not args.commits and not args.history:
        hint = "limosa forget [OPTION …] COMMIT …; limosa forget --help has the options"
        raise LimosaError("LIM-CLI-002", "COMMIT is missing", hint=hint, exit_status=EXIT_USAGE)
    wanted = [commits.find(host, reference) for reference in args.commits]
    if args.history:
        owner = commits.find(host, args.history).container.container_id
        wanted += [commit for commit in commits.every(host) if commit.container.container_id == owner]
    commits.forget_all(host, wanted, lambda commit: print(commit.commit_id))
    return 0


def _by_rule(host: Host, args: argparse.Namespace) -> int:
    from limosa.cli import local_time
    from limosa.engine import schedules

    if args.history or not args.commits:
        raise LimosaError(
            "LIM-CLI-002", "--keep takes containers", hint="limosa forget --keep daily=7 NAME", exit_status=EXIT_USAGE
        )
    found = []
    for reference in args.commits:
        owner = commits.owner(host, reference)
        judge = schedules.retained if args.dry_run else schedules.thin_out
        found += judge(host, owner, args.keep, local_time.moment)
    if args.json:
        told = [
            {
                "commit_id": one.commit.commit_id,
                "container": one.commit.container.config.name,
                "created_ns": one.commit.created_ns,
                "kept": bool(one.why),
                "why": list(one.why),
            }
            for one in found
        ]
        print(json.dumps(told, indent=1))
        return 0
    gone = "would be forgotten" if args.dry_run else "forgotten"
    rows = [
        (
            short(one.commit.commit_id),
            one.commit.container.config.name,
            time.strftime("%F %T", time.localtime(one.commit.created_ns / 1e9)),
            ", ".join(one.why) or gone,
        )
        for one in found
    ]
    print(table.render(("COMMIT", "CONTAINER", "TIME", "KEPT AS"), rows))
    return 0
