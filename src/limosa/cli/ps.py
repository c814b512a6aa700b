"""limosa ps"""

import argparse
import json
import time

from limosa import wiring
from limosa.cli import table
from limosa.model import codec
from limosa.model.container import ContainerRecord
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa ps -a
  limosa ps --json | jq -r '.[].config.name'"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-a", "--all", action="store_true", help="those too that do not run")
    parser.add_argument("-q", "--quiet", action="store_true", help="ids only")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    records = [record for record in host.containers.all() if args.all or record.phase in ("running", "paused")]
    if args.json:
        print(json.dumps([codec.to_jsonable(record) for record in records], indent=1))
    elif args.quiet:
        for record in records:
            print(short(record.container_id))
    else:
        head = ("ID", "NAME", "IMAGE", "STATUS", "ADDRESS", "PORTS")
        print(table.render(head, [_row(record) for record in records]))
    return 0


def _row(record: ContainerRecord) -> tuple[str, ...]:
    ports = ", ".join(f"{port.host_port}->{port.container_port}/{port.protocol}" for port in record.config.ports)
    address = record.addresses.ipv4.partition("/")[0]
    return (short(record.container_id), record.config.name, record.config.oci_image, status(record), address, ports)


def status(record: ContainerRecord) -> str:
    """Return how things stand, in words."""
    if record.phase == "running":
        return f"up {table.duration((time.time_ns() - record.started_ns) / 1e9)}"
    if record.phase == "stopped" and record.exit is not None:
        why = ", out of memory" if record.exit.oom_killed else ""
        return f"exited ({record.exit.status}{why})"
    return record.phase
