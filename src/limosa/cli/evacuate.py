"""limosa evacuate"""

import argparse
import json
import sys

from limosa import wiring
from limosa.cli import migrate as verb
from limosa.cli import peer_options
from limosa.cli.progress import ProgressLine
from limosa.engine import migrate
from limosa.engine.host import Host
from limosa.engine.migrate import Summary
from limosa.model import codec
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.peer_address import PeerAddress

EXAMPLES = f"""\
examples:
  limosa evacuate spare --all                   every running container, the most important last
  limosa evacuate spare web db                  these, in this order
  limosa evacuate --check spare --all           only compares the hosts for each
{peer_options.HOSTS}
A label limosa.importance=N says how important a container is; those without count as 0, and the one that was
started first goes first. One that cannot move stays and keeps no other from moving; the status is 1 then."""
_IMPORTANCE = "limosa.importance"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--all", action="store_true", help="every running container")
    verb.add_options(parser)
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("containers", nargs="*", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if bool(args.containers) == args.all:
        raise LimosaError("LIM-CLI-003", "name containers, or --all", hint="one of both", exit_status=EXIT_USAGE)
    host = wiring.host(wiring.root_of(args.root))
    address = peer_options.address(host, args.host, args.ssh_option)
    records = [host.containers.find(name) for name in args.containers]
    if args.all:
        records = sorted((one for one in host.containers.all() if one.phase == "running"), key=_rank)
    moved: list[Summary] = []
    failures: list[LimosaError] = []
    for record in records:
        try:
            if args.check:
                verb.told_check(record.config.name, migrate.check(host, record, address, verb.wanted(args)))
                continue
            done = _moved(args, host, record, address)
        except LimosaError as failed:
            failures.append(failed)
            print(failed, file=sys.stderr)
            continue
        moved.append(done)
        if not args.json:
            print(verb.told(done, args.host), flush=True)
    if args.json and not args.check:
        print(json.dumps({"moved": codec.to_jsonable(moved), "failed": [one.as_json() for one in failures]}, indent=1))
    return 1 if failures else 0


def _moved(args: argparse.Namespace, host: Host, record: ContainerRecord, address: PeerAddress) -> Summary:
    with ProgressLine(quiet=args.json) as line:
        return verb.moved(host, record, address, verb.wanted(args), line)


def _rank(record: ContainerRecord) -> tuple[int, int]:
    """Return what orders containers: the least important first, then who was started first."""
    said = dict(record.config.labels).get(_IMPORTANCE, "0")
    return (int(said) if said.lstrip("-").isdigit() else 0, record.started_ns)
