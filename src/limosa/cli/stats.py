"""limosa stats"""

import sys
import time

from limosa import wiring
from limosa.cli import arguments, table
from limosa.engine import inspection
from limosa.engine.host import Host
from limosa.engine.inspection import Sample
from limosa.model import codec, json_text
from limosa.model.container import ContainerRecord
from limosa.model.hints import Any, Final
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa stats
  limosa stats --no-stream web db
  limosa stats --json | jq .          an array a second"""

_HEAD: Final = ("ID", "NAME", "CPU %", "MEM / LIMIT", "PIDS", "NET IN / OUT", "BLOCK IN / OUT", "DISK / LIMIT")
_FIRST_PAUSE_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 1.0
_DISK_EVERY: Final = 10
"""What files take in a container without a disk of its own has to be summed up, so not every second."""
_CLEAR: Final = "\033[H\033[J"


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-a", "--all", action="store_true", help="also those that do not run")
    parser.add_argument("--no-stream", action="store_true", help="once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("containers", nargs="*", metavar="CONTAINER", help="all that run otherwise")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    disks: dict[str, tuple[int, int | None]] = {}
    before = {one.container_id: one for one in _samples(host, args, disks)}
    turn = 0
    time.sleep(_FIRST_PAUSE_SECONDS)
    while True:
        turn += 1
        if turn % _DISK_EVERY == 0:
            disks.clear()
        now = _samples(host, args, disks)
        _show(args, now, before)
        if args.no_stream:
            return 0
        before = {one.container_id: one for one in now}
        time.sleep(_PAUSE_SECONDS)


def _samples(host: Host, args: arguments.Arguments, disks: dict[str, tuple[int, int | None]]) -> list[Sample]:
    taken = []
    for record in _records(host, args):
        if record.container_id not in disks:
            disks[record.container_id] = inspection.disk_usage(host, record)
        taken.append(inspection.sample(host, record, disks[record.container_id]))
    return taken


def _records(host: Host, args: arguments.Arguments) -> list[ContainerRecord]:
    if args.containers:
        return [host.containers.find(reference) for reference in args.containers]
    return [record for record in host.containers.all() if args.all or record.phase in inspection.LIVE]


def _show(args: arguments.Arguments, now: list[Sample], before: dict[str, Sample]) -> None:
    shares = [cpu_percent(before.get(one.container_id), one) for one in now]
    if args.json:
        found: list[dict[str, Any]] = [
            {**codec.to_jsonable(one), "cpu_percent": round(share, 2)} for one, share in zip(now, shares, strict=True)
        ]
        print(json_text.dumps(found, indent=1 if args.no_stream else 0), flush=True)
        return
    text = table.render(_HEAD, [_row(one, share) for one, share in zip(now, shares, strict=True)])
    live = not args.no_stream and sys.stdout.isatty()
    print(f"{_CLEAR if live else ''}{text}", flush=True)


def cpu_percent(before: Sample | None, now: Sample) -> float:
    """Return the processors' time between two samples, 100 for one processor; 0 if it was started in between."""
    if before is None or now.taken_ns <= before.taken_ns or now.cpu_ns < before.cpu_ns:
        return 0.0
    return 100 * (now.cpu_ns - before.cpu_ns) / (now.taken_ns - before.taken_ns)


def _row(one: Sample, share: float) -> tuple[str, ...]:
    return (
        short(one.container_id),
        one.name,
        f"{share:.1f}",
        f"{table.size(one.memory_bytes)} / {_limit(one.memory_limit_bytes)}",
        str(one.pids),
        f"{table.size(one.network_received_bytes)} / {table.size(one.network_sent_bytes)}",
        f"{table.size(one.io_read_bytes)} / {table.size(one.io_written_bytes)}",
        f"{table.size(one.disk_bytes)} / {_limit(one.disk_limit_bytes)}",
    )


def _limit(limit_bytes: int | None) -> str:
    return "-" if limit_bytes is None else table.size(limit_bytes)
