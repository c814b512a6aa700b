"""limosa ps"""

import time

from limosa import wiring
from limosa.cli import arguments, filters, table, values
from limosa.model import codec, json_text
from limosa.model.container import ContainerRecord
from limosa.model.ids import SHORT_ID_DIGITS

EXAMPLES = """\
examples:
  limosa ps -a
  limosa ps --filter label=team=a --filter status=running
  limosa ps -n 3
  limosa ps --json | jq -r '.[].config.name'"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-a", "--all", action="store_true", help="also those that do not run")
    parser.add_argument("-q", "--quiet", action="store_true", help="ids only")
    parser.add_argument("-n", "--last", type=values.count, metavar="N", help="the N newest, running or not")
    parser.add_argument(
        "-f", "--filter", action="append", default=[], type=values.container_filter, metavar="KEY=VALUE",
        help="name=, id=, label=KEY[=VALUE], status=, image=, network=, volume=; several of one kind: any of them",
    )  # fmt: skip
    parser.add_argument("--no-trunc", action="store_true", help="whole ids")
    parser.add_argument("--json", action="store_true")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    idle = ("created", "stopped")
    records = [record for record in host.containers.all() if args.all or not (record.phase in idle or record.warm_of)]
    if any(kind == "status" for kind, _ in args.filter) or args.last is not None:
        records = host.containers.all()
    records = [record for record in records if filters.fits(record, args.filter)]
    records = records[-args.last :] if args.last else records
    digits = None if args.no_trunc else SHORT_ID_DIGITS
    if args.json:
        print(json_text.dumps([codec.to_jsonable(record) for record in records], indent=1))
    elif args.quiet:
        for record in records:
            print(record.container_id[:digits])
    else:
        head = ("ID", "NAME", "IMAGE", "STATUS", "ADDRESS", "PORTS")
        print(table.render(head, [_row(record, digits) for record in records]))
    return 0


def _row(record: ContainerRecord, digits: int | None) -> tuple[str, ...]:
    ports = ", ".join(f"{port.host_port}->{port.container_port}/{port.protocol}" for port in record.config.ports)
    address = record.addresses.ipv4.partition("/")[0]
    return (record.container_id[:digits], record.config.name, record.config.oci_image, status(record), address, ports)


def status(record: ContainerRecord) -> str:
    """Return how things stand, in words."""
    if record.phase == "running":
        return f"up {table.duration((time.time_ns() - record.started_ns) / 1e9)}"
    if record.warm_of:
        return f"warm, of {record.warm_of[:SHORT_ID_DIGITS]}"
    if record.moved_to:
        return f"moved to {record.moved_to}"
    if record.phase == "stopped" and record.exit is not None:
        why = ", out of memory" if record.exit.oom_killed else ""
        return f"exited ({record.exit.status}{why})"
    if record.phase == "restarting" and record.exit is not None:
        return f"restarting ({record.exit.status}, {record.restarts} times)"
    return "paused, restored" if record.held else record.phase
