"""limosa evacuate"""

import argparse
import json
import sys
from collections.abc import Callable

from limosa import wiring
from limosa.cli import migrate as verb
from limosa.cli import peer_options, values
from limosa.cli.progress import ProgressLine
from limosa.engine import migrate
from limosa.engine.host import Host
from limosa.engine.migrate import Progress, Summary
from limosa.linux.workers import Master, Workers
from limosa.model import codec
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.migration import Way
from limosa.model.peer_address import PeerAddress

EXAMPLES = f"""\
examples:
  limosa evacuate spare --all                   every running container, the most important last
  limosa evacuate spare web db                  these, in this order
  limosa evacuate spare --all --parallel 8 --bandwidth 200M
  limosa evacuate --check spare --all           only compares the hosts for each
{peer_options.HOSTS}
A label limosa.importance=N says how important a container is; those without count as 0, and the one that was
started first goes first. Several are sent at a time and share the bandwidth, but none stands still before all that are
less important have moved, or stay. One that cannot move stays and keeps no other from moving; the status is 1 then."""
_IMPORTANCE = "limosa.importance"
_A_WHILE_S = 0.2


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--all", action="store_true", help="every running container")
    parser.add_argument("--parallel", type=values.count, default=3, metavar="N", help="how many at a time (3)")
    verb.add_options(parser)
    parser.add_argument("host", metavar="HOST")
    parser.add_argument("containers", nargs="*", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    if bool(args.containers) == args.all:
        raise LimosaError("LIM-CLI-003", "name containers, or --all", hint="one of both", exit_status=EXIT_USAGE)
    host = wiring.host(wiring.root_of(args.root))
    address = peer_options.address(host, args.host, args.ssh_option)
    ranked = [(place, host.containers.find(name)) for place, name in enumerate(args.containers)]
    if args.all:
        running = [one for one in host.containers.all() if one.phase == "running"]
        ranked = sorted(((_importance(one), one) for one in running), key=lambda one: (one[0], one[1].started_ns))
    if args.check:
        return _check(args, host, [record for _, record in ranked], address)
    with ProgressLine(quiet=args.json) as line:
        evacuation = _Evacuation(args, address, ranked, line)
        evacuation.run()
    if args.json:
        failed = [one.as_json() for one in evacuation.failed]
        print(json.dumps({"moved": evacuation.moved, "failed": failed}, indent=1))
    return 1 if evacuation.failed else 0


def _check(args: argparse.Namespace, host: Host, records: list[ContainerRecord], address: PeerAddress) -> int:
    status = 0
    for record in records:
        try:
            verb.told_check(record.config.name, migrate.check(host, record, address, verb.wanted(args)))
        except LimosaError as failed:
            status = 1
            print(failed, file=sys.stderr)
    return status


def _importance(record: ContainerRecord) -> int:
    said = dict(record.config.labels).get(_IMPORTANCE, "0")
    return int(said) if said.lstrip("-").isdigit() else 0


class _Evacuation:
    """Containers, each with its rank, on their way; each by a process of its own."""

    def __init__(
        self,
        args: argparse.Namespace,
        address: PeerAddress,
        ranked: list[tuple[int, ContainerRecord]],
        line: ProgressLine,
    ) -> None:
        self._args, self._address, self._line = args, address, line
        self._waiting = list(ranked)
        self._rank = {record.config.name: rank for rank, record in ranked}
        self._not_ended = dict(self._rank)
        self._wants_to_stop: list[str] = []
        self._where: dict[str, tuple[str, int]] = {}
        self._workers = Workers()
        self.moved: list[object] = []
        self.failed: list[LimosaError] = []

    def run(self) -> None:
        """Move them all, or find out why not."""
        at_once = min(self._args.parallel, len(self._waiting))
        if at_once:
            self._args.bandwidth //= at_once
        while self._not_ended:
            while self._waiting and len(self._where) < at_once:
                _, record = self._waiting.pop(0)
                self._where[record.config.name] = ("", 0)
                self._workers.begin(record.config.name, self._work(record))
            for name, text in self._workers.reports():
                self._heard(name, text)
            for name in [one for one in self._wants_to_stop if self._may_stop(one)]:
                self._wants_to_stop.remove(name)
                self._workers.allow(name)

    def _may_stop(self, name: str) -> bool:
        return not any(rank < self._rank[name] for rank in self._not_ended.values())

    def _work(self, record: ContainerRecord) -> Callable[[Master], None]:
        """Return what a process does for one container: it moves it, and tells everything as JSON lines."""

        def work(master: Master) -> None:
            def tell(what: str, *said: object) -> None:
                master.report(json.dumps([what, *said]))

            def way(chosen: Way, why: tuple[str, ...]) -> None:
                tell("say", verb.why_not_live(record.config.name, chosen, why))

            def progress(now: Progress) -> None:
                if now.downtime is not None:
                    tell("say", f"{record.config.name}: {verb.away(now.downtime)}")
                tell("at", verb.words(now), now.sent_bytes)

            def may_stop() -> bool:
                tell("stop")
                return _word(master)

            try:
                host = wiring.host(wiring.root_of(self._args.root))
                wanted = verb.wanted(self._args)
                done = migrate.migrate(host, record, self._address, wanted, progress, way, may_stop)
                tell("moved", codec.to_jsonable(done))
            except LimosaError as failed:
                tell("failed", failed.as_json()["error"])

        return work

    def _heard(self, name: str, text: str | None) -> None:
        what, *said = json.loads(text) if text is not None else ("ended",)
        if what == "at":
            self._where[name] = (said[0], said[1])
            phases = "; ".join(f"{one}: {phase}" for one, (phase, _) in self._where.items() if phase)
            self._line.update(phases, sum(size for _, size in self._where.values()), 0)
        elif what == "say":
            self._line.say(said[0])
        elif what == "stop":
            self._wants_to_stop.append(name)
        elif what == "moved":
            self.moved.append(said[0])
            self._not_ended.pop(name)
            if not self._args.json:
                self._line.pause()
                print(verb.told(codec.from_jsonable(Summary, said[0]), self._args.host), flush=True)
        elif what == "failed":
            self._fail(name, LimosaError(**said[0]))
        else:
            if name in self._not_ended:
                self._fail(name, _died(name))
            self._where.pop(name)
            self._wants_to_stop = [one for one in self._wants_to_stop if one != name]

    def _fail(self, name: str, failed: LimosaError) -> None:
        self._not_ended.pop(name)
        self.failed.append(failed)
        self._line.pause()
        print(failed, file=sys.stderr, flush=True)


def _word(master: Master) -> bool:
    """Wait for the word, and return whether that took a while, in which more has changed.

    Raises: LimosaError LIM-MIG-006: nobody will give it.
    """
    import time

    begun = time.monotonic()
    try:
        master.wait()
    except EOFError as dead:
        raise LimosaError(
            "LIM-MIG-006",
            "the command that moves several containers has died",
            state="it runs here as before",
            cause="only that knows which of them may stand still",
        ) from dead
    return time.monotonic() - begun > _A_WHILE_S


def _died(name: str) -> LimosaError:
    return LimosaError(
        "LIM-MIG-006",
        f'the process that moved "{name}" has died',
        state="it runs here or there, or stands still",
        hint="limosa migrations shows where it is; limosa recover goes on",
    )
