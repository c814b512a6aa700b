"""limosa checkpoint"""

import argparse
import json
import sys
import time

from limosa import wiring
from limosa.cli import table, values
from limosa.engine import checkpoint, commits
from limosa.engine.host import Host
from limosa.model import codec
from limosa.model.commit import CheckpointStats, CommitRecord
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import TYPE_CHECKING

if TYPE_CHECKING:
    from limosa.model.retention import Keep

_NOT_RUNNING = "LIM-CONT-002"
EXAMPLES = """\
examples:
  limosa checkpoint db -m 'before the upgrade' --tag good
  limosa checkpoint --stop db
  limosa checkpoint --stats db            what it took, on standard error
  limosa checkpoint --end-sessions db     ends what `exec` and `enter` run in it
  limosa checkpoint --every 10m --keep hourly=24,daily=7 db
                                          by a timer of systemd, from now on; --every off ends it, --every list lists
  limosa checkpoint --keep hourly=24 db   one now as a timer makes it, for cron: forgets what is not kept of its kind

The commit's id is all that is printed on standard output. limosa doctor db says beforehand what would stop it."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-m", "--message", default="", metavar="TEXT")
    parser.add_argument("--tag", default="", metavar="NAME", help="name the commit")
    parser.add_argument("--stop", action="store_true", help="end the container with the commit")
    parser.add_argument("--end-sessions", action="store_true", help="end running exec sessions first, and not refuse")
    parser.add_argument(
        "--every", type=_every, metavar="INTERVAL|off|list", help="10m, 1h, …: commit it at these times"
    )
    parser.add_argument(
        "--keep",
        type=values.retention,
        metavar="RULE=N,…",
        help="which commits made at times are kept: last, hourly, daily, weekly, monthly, yearly",
    )
    parser.add_argument("--if-running", action="store_true", help="do nothing, and succeed, if it does not run")
    parser.add_argument("--stats", action="store_true", help="say how long each phase took, and how much was stored")
    parser.add_argument("--json", action="store_true", help="print the whole commit, with the times by phase")
    parser.add_argument("container", nargs="?", metavar="CONTAINER")


def _every(text: str) -> int | str:
    return text if text in ("off", "list") else values.interval_s(text)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.every == "list" and args.container is None:
        return _list(host, as_json=args.json)
    if args.container is None or args.every == "list":
        raise _misused("name one container" if args.container is None else "--every list takes no container")
    if args.every is not None:
        return _schedule(host, args)
    record = host.containers.find(args.container)
    if args.if_running and record.phase != "running":
        return 0
    if args.tag:
        commits.require_free_tag(host, args.tag)
    took: list[CheckpointStats] = []
    wanted = checkpoint.Wanted(args.message, args.stop, args.end_sessions, measured=took.append)
    try:
        commit = _commit(host, record, wanted, args.keep)
    except LimosaError as refused:
        if args.if_running and refused.code == _NOT_RUNNING:  # it has ended while we waited for its lock
            return 0
        raise
    if args.tag:
        commits.tag(host, commit, args.tag)
    _tell(args, commit, took[0])
    return 0


def _commit(host: Host, record: ContainerRecord, wanted: checkpoint.Wanted, keep: "Keep | None") -> CommitRecord:
    if keep is None:
        return checkpoint.checkpoint(host, record.container_id, wanted)
    from limosa.cli import local_time
    from limosa.engine import schedules

    return schedules.commit_and_forget(host, record.container_id, wanted, keep, local_time.moment, time.sleep)


def _tell(args: argparse.Namespace, commit: CommitRecord, took: CheckpointStats) -> None:
    if args.json:
        print(json.dumps({**codec.to_jsonable(commit), "stats": codec.to_jsonable(took)}, indent=1))
        return
    print(commit.commit_id)
    if args.stats:
        print(_text(took), file=sys.stderr)


def _misused(why: str) -> LimosaError:
    return LimosaError("LIM-CLI-002", why, hint="limosa checkpoint --help", exit_status=EXIT_USAGE)


def _schedule(host: Host, args: argparse.Namespace) -> int:
    from limosa.engine import schedules

    container_id = host.containers.find(args.container).container_id
    if args.every == "off":
        schedules.end(host, container_id)
    elif args.keep is None:
        raise _misused("--every needs --keep: without it commits would fill the disk")
    elif args.message or args.tag or args.stop:
        raise _misused("--every makes commits without message, tag and --stop")
    else:
        schedules.begin(host, container_id, args.every, args.keep)
    print(args.container)
    return 0


def _list(host: Host, *, as_json: bool) -> int:
    from limosa.engine import schedules

    found = schedules.scheduled(host)
    if as_json:
        told = [
            {
                "container": record.config.name,
                **codec.to_jsonable(schedule),
                "last_commit": last.commit_id if last else None,
                "last_ns": last.created_ns if last else None,
            }
            for record, schedule, last in found
        ]
        print(json.dumps(told, indent=1))
        return 0
    rows = [
        (
            record.config.name,
            table.duration(schedule.every_s),
            schedule.keep,
            time.strftime("%F %T", time.localtime(last.created_ns / 1e9)) if last else "-",
        )
        for record, schedule, last in found
    ]
    print(table.render(("CONTAINER", "EVERY", "KEEP", "LAST"), rows))
    return 0


def _text(took: CheckpointStats) -> str:
    times = [
        ("prepare", took.prepared_ns, "the container running: its state, what stands in the way, criu's start"),
        ("dump", took.dumped_ns, "criu at work"),
        ("  capture", took.captured_ns, "of that: snapshot of the files, cgroups"),
        ("store", took.stored_ns, "memory and files read and written to the store"),
        ("total", took.total_ns, ""),
        ("frozen", took.frozen_ns, "from the stop of the first process until all went on"),
    ]
    sizes = [("read", took.read_bytes), ("new", took.new_bytes), ("stored", took.stored_bytes)]
    notes = {"read": "memory and changed files", "new": "what of that the store did not have", "stored": "compressed"}
    rows = [(name, f"{value / 1e6:.1f} ms", note) for name, value, note in times]
    rows += [(name, table.size(value), notes[name]) for name, value in sizes]
    return table.render(("PHASE", "TOOK", ""), rows)
