"""The target's side of a migration: answers the source by the steps of model/handover.py.

While what was brought back stands still, criu waits in its `post-restore` notification: the source's next questions
are answered inside that callback (`_hold`).
"""

import json
from contextlib import ExitStack

from limosa.engine import (
    commits,
    creation,
    ending,
    exchange,
    journal,
    lifecycle,
    readiness,
    restore,
    reviving,
    schedules,
)
from limosa.engine.channel_store import expected, not_kept
from limosa.engine.exchange import Peer, object_id
from limosa.engine.host import Host
from limosa.model import codec, handover, peer_protocol
from limosa.model.commit_store import container_ref
from limosa.model.container import ContainerRecord, NetworkRequest
from limosa.model.errors import LimosaError
from limosa.model.handover import FAILED, OK, Do, Step, TargetProgram, Write
from limosa.model.hints import Final
from limosa.model.ids import ContainerId, checked_name
from limosa.model.migration import MigrationEntry, Took
from limosa.model.peer_address import PeerAddress
from limosa.model.peer_protocol import Question, Reply, Settle, Settled

_OTHER_S: Final = 45.0  # how long a process that has lost its source may need to notice
_CRIU_S: Final = 60.0
_LAST: Final = ("run", "let_go", "drop")  # what ends a hold


class _LetGo(Exception):
    """What is held is not to run."""


class Arriving:
    """One migration at its target, for the time of one connection or of one recovery."""

    def __init__(self, host: Host, peer: Peer | None) -> None:
        self.host, self.peer = host, peer
        self.entry: MigrationEntry | None = None
        self._found = ""  # the phase that another process had written
        self.failure: LimosaError | None = None
        self._took: tuple[Took, ...] = ()
        self._held = ExitStack()
        self._container: ContainerId | None = None
        self._brought_ns = self._retransmitted = 0

    # From the source

    def answer(self, question: Question) -> None:
        """Answer one question. Raises: LimosaError LIM-MIG-002: another process answers; LIM-PEER-003, -004."""
        phase = self._entered(question)
        answer = self._drive(handover.target(phase, question.question), question)
        self._reply(answer)
        if answer == "accepted":
            self._make_ready()

    def _entered(self, question: Question) -> handover.TargetPhase:
        assert self.peer is not None
        if self.entry is None:
            self.entry = self._opened(question)
        if self.entry.migration_id != question.migration:
            raise not_kept(self.peer.connection, "a second migration over one connection")
        phase: handover.TargetPhase = self.entry.phase  # type: ignore[assignment]
        return phase

    def _opened(self, question: Question) -> MigrationEntry:
        assert self.peer is not None
        host, connection = self.host, self.peer.connection
        try:
            self._held.enter_context(host.migrations.locked(question.migration, _OTHER_S))
        except BlockingIOError as busy:
            raise LimosaError(
                "LIM-MIG-002",
                "another process works at this migration",
                cause="the connection that it serves has not ended yet",
                hint="limosa recover, a little later",
            ) from busy
        except ValueError as damage:
            raise not_kept(connection, str(damage)) from damage
        known = host.migrations.load(question.migration)
        if known is not None and known.side == "target":
            self._found = known.phase
            return known
        return MigrationEntry(
            question.migration,
            "target",
            "",
            ContainerId(""),
            "",
            PeerAddress(connection.name),
            f"{question.asker} ({connection.name})" if question.asker else connection.name,
            host.now_ns(),
            keep_connections=question.tcp == "keep",
            way=question.way,
        )

    def _make_ready(self) -> None:
        """While the source commits and sends, make ready what would take its time while nothing runs anywhere."""
        assert self.entry is not None
        try:
            readiness.make_ready(self.host, self.host.containers.load(self.entry.container_id))
        except LimosaError:  # the restore will fail of it and say so
            return

    def _reply(self, answer: str) -> None:
        assert self.peer is not None
        failure = None if self.failure is None else peer_protocol.failure(self.failure)
        self.failure = None
        self.peer.connection.send(Reply(answer, failure, self._took, self._retransmitted))
        self._took = ()

    # Performing

    def _drive(self, program: TargetProgram, question: Question | None = None) -> str:
        """Perform a program to its end and return its value; a hold changes which program that is."""
        try:
            step = next(program)
            while True:
                if step == Do("hold"):
                    program, step = self._hold(program, question)
                else:
                    step = program.send(self.perform(step, question))
        except StopIteration as ended:
            return str(ended.value)

    def perform(self, step: Step, question: Question | None) -> str:
        """Perform one step that is not `hold`, and return what became of it."""
        assert self.entry is not None
        if isinstance(step, Write):
            assert step.phase in handover.TARGET_FOLLOWS[self.entry.phase]  # type: ignore[index]
            if step.phase == "reserved" and question is not None:
                self._offered(question)
            self.entry = self.entry._replace(phase=step.phase)
            self.host.migrations.write(self.entry)
            return OK
        assert isinstance(step, Do)
        if step.what == "drop":
            self._drop()
            return OK
        try:
            if step.what == "reserve" and question is not None:
                self._reserve(question)
            elif step.what == "run":
                self._run()
        except LimosaError as failed:
            self.failure = failed
            return FAILED
        return OK

    def _offered(self, question: Question) -> None:
        """Fill the entry with what the source says of the container."""
        assert self.entry is not None
        offered = self._container_of(question)
        head = commits.head(self.host, offered.container_id)
        self.entry = self.entry._replace(
            container_id=offered.container_id,
            name=question.name or offered.config.name,
            head_before="" if head is None else head.hex(),
        )

    def _container_of(self, question: Question) -> ContainerRecord:
        assert self.peer is not None
        try:
            offered = codec.from_jsonable(ContainerRecord, json.loads(question.container))
            commits.check_container(offered)
            checked_name(question.name or offered.config.name)
        except (ValueError, RecursionError, LimosaError) as damage:
            raise not_kept(self.peer.connection, f"a container that cannot be: {damage}") from damage
        return offered

    def _lock(self, *, create: bool = False) -> None:
        """Hold the container from now on. Raises: LimosaError LIM-NAME-003: there is none."""
        assert self.entry is not None
        if self._container is None:
            self._held.enter_context(self.host.containers.locked(self.entry.container_id, create=create))
            self._container = self.entry.container_id

    def _reserve(self, question: Question) -> None:
        """Take name and addresses. Raises: LimosaError: one cannot be had."""
        assert self.entry is not None
        host, offered = self.host, self._container_of(question)
        self._lock(create=True)
        config = offered.config._replace(name=self.entry.name)
        if any(one.container_id == offered.container_id for one in host.containers.all()):
            raise LimosaError(
                "LIM-MIG-003",
                f'"{config.name}" is at {host.peers.own_name()} already',
                cause="a container with its id is there, stopped or running",
                hint="one that --keep left has to be removed there first: limosa rm",
            )
        record = ending.idle(offered)._replace(
            config=config, phase="migrating", exit=None, restart_at_ns=0, device_number=0
        )
        creation.add(host, record)
        record = creation.with_id_range(host, record)  # those that it had there may be another's here
        host.containers.save(record)
        if not ending.networked(config):
            return
        if not self.entry.keep_connections:
            host.containers.save(restore.with_addresses(host, record))
            return
        had = record.addresses
        same = NetworkRequest(config.network.network, _bare(had.ipv4), _bare(had.ipv6), had.mac)
        hostname = config.hostname or config.name
        addresses = host.networks.reserve(
            record.container_id, config.name, same, config.ports, hostname, inner=record.inner_addresses
        )
        host.containers.save(record._replace(addresses=addresses))

    # Standing still

    def _hold(self, program: TargetProgram, question: Question | None) -> tuple[TargetProgram, Step]:
        """Bring it back up to its last moment, and answer what comes until that is to go on, or not.

        Returns: the program that was at work then, and its next step.
        """
        assert self.entry is not None and question is not None
        later: list[tuple[TargetProgram, Step]] = []

        def hold(record: ContainerRecord) -> None:
            self.host.containers.save(record)
            self._took += (Took("processes", self.host.now_ns() - self._brought_ns),)
            self._reply(self._rest(program))
            later.append(self._asked_on())
            if later[0][1] != Do("run"):
                raise _LetGo

        try:
            self.entry = self.entry._replace(commit=question.commit)
            self._restore(hold)
        except _LetGo:
            program, step = later[0]
            return program, program.send(self.perform(step, None))
        except LimosaError as failed:
            self.failure = failed
            program = later[0][0] if later else program
            return program, program.send(FAILED)
        self._arrived()
        program = later[0][0]
        return program, program.send(OK)

    def _rest(self, program: TargetProgram) -> str:
        """Perform what follows a hold that has come about, and return the answer."""
        try:
            step = program.send(OK)
            while True:
                step = program.send(self.perform(step, None))
        except StopIteration as ended:
            return str(ended.value)

    def _asked_on(self) -> tuple[TargetProgram, Step]:
        """Answer until a program wants what ends the hold, and return both."""
        while True:
            program = self._next_program()
            try:
                step = next(program)
                while not (isinstance(step, Do) and step.what in _LAST):
                    step = program.send(self.perform(step, None))
                return program, step
            except StopIteration as ended:
                self._reply(str(ended.value))

    def _next_program(self) -> TargetProgram:
        assert self.peer is not None and self.entry is not None
        try:
            message = self.peer.connection.receive()
            if isinstance(message, Question):
                return handover.target(self._entered(message), message.question)
        except LimosaError:
            pass
        return handover.left_alone(self.entry.phase)  # type: ignore[arg-type]

    # Deeds

    def _restore(self, hold: reviving.Hold) -> None:
        """Bring it back from the last commit. Raises: LimosaError: nothing of it is left but record and commits."""
        assert self.entry is not None
        host, container_id = self.host, self.entry.container_id
        commit_id = object_id(self.entry.commit)
        commit = commits.described(commit_id, host.store.commit(commit_id))
        if commit.container.container_id != container_id:
            raise LimosaError("LIM-MIG-004", "the commit that came is another container's")
        record = ending.idle(host.containers.load(container_id))
        if self.entry.way != "live":
            self._brought_ns = host.now_ns()
            restore.started(host, record, commit, lambda: hold(record))
            return
        connections = self.entry.keep_connections
        begun_ns = host.now_ns()
        if ending.networked(record.config) and connections:
            host.networks.attract(container_id)
        with restore.brought(host, commit, "background") as images:
            self._brought_ns = host.now_ns()
            self._took = (Took("images", self._brought_ns - begun_ns),)
            restore.in_place(host, record, commit, images, keep_connections=connections, hold=hold)

    def _run(self) -> None:
        """Let it run, if it does not, from its commit. Raises: LimosaError: it cannot."""
        assert self.entry is not None
        host = self.host
        self._lock()
        record = host.containers.load(self.entry.container_id)
        if record.phase != "migrating":
            return
        # What was held before `taken` was written has never run, and criu is ending it.
        if self._found == "taken" and record.init_pid and ending.this_boot(host, record) and self._lives(record):
            host.runtime.adopt(record.container_id, ending.process_of(record))
            if ending.networked(record.config):
                host.networks.unsilence(record.container_id, record.init_pid)
            lifecycle.running(host, record, ending.process_of(record))
        else:
            self._restore(lambda record: None)
        self._arrived()

    def _lives(self, record: ContainerRecord) -> bool:
        """Say whether what a dead command had held goes on: criu has let it go by then, or has killed it."""
        if not self.host.runtime.left_alone(ending.process_of(record), _CRIU_S):
            return False
        return self.host.runtime.wait(record.container_id, ending.process_of(record), 0) is None

    def _arrived(self) -> None:
        assert self.entry is not None
        record = self.host.containers.load(self.entry.container_id)
        self._retransmitted = self.host.networks.retransmitted(record.init_pid)
        schedules.renew(self.host, record)  # without timers here there is none: `recover` says so
        journal.note(self.host, "migrate", record, f"from {self.entry.peer_name}")

    def _drop(self) -> None:
        """End and remove everything of it, and let what names its commits be as before."""
        assert self.entry is not None
        host, container_id = self.host, self.entry.container_id
        try:
            self._lock()
            record = host.containers.load(container_id)
        except LimosaError as gone:
            ending.unless_gone(gone)
            return
        if record.phase not in ("migrating", "creating", "removing"):
            return
        host.networks.silence(container_id)  # its connections are the source's
        ending.erase(host, record)
        ref = container_ref(container_id)
        before = object_id(self.entry.head_before) if self.entry.head_before else None
        if host.store.refs().get(ref) != before:
            host.store.set_ref(ref, before, when_ns=host.now_ns(), why="migration undone")

    # The end

    def left(self) -> None:
        """Do what is to be done when the connection has ended."""
        with self._held:
            if self.entry is not None and self.entry.phase:
                self._drive(handover.left_alone(self.entry.phase))  # type: ignore[arg-type]

    def recover(self, entry: MigrationEntry) -> MigrationEntry:
        """Go on with what a dead process has left, and return the entry as it is then.

        Raises: BlockingIOError: a living one works at it.
        """
        with self._held:
            self._held.enter_context(self.host.migrations.locked(entry.migration_id))
            self.entry = self.host.migrations.load(entry.migration_id)
            if self.entry is None:
                return entry._replace(phase="")
            self._found = self.entry.phase
            self._drive(handover.recovered_target(self.entry.phase))  # type: ignore[arg-type]
            if self.entry.phase:
                self._ask_source()
            return self.entry

    def _ask_source(self) -> None:
        """Let the source go on with its side, if it can be reached from here and nobody works at it there."""
        assert self.entry is not None
        try:
            with exchange.reached(self.host, self._source_address()) as peer:
                self.peer = peer
                peer.connection.send(Settle(self.entry.migration_id))
                while isinstance(message := expected(peer.connection, Question, Settled), Question):
                    self.answer(message)
        except LimosaError:  # then it waits, and says for whom
            return

    def _source_address(self) -> PeerAddress:
        assert self.entry is not None
        where = self.entry.peer.destination
        for known in self.host.host_book.all().values():
            if known.destination.rpartition("@")[2] == where:
                return known
        return PeerAddress(where, ("BatchMode=yes", "ConnectTimeout=10"))


def _bare(address: str) -> str:
    return address.partition("/")[0]
