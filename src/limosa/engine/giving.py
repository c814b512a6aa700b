"""The source's side of a migration: performs the steps of model/handover.py.

While the container stands still, criu waits in its `post-dump` notification: the program's steps between `freeze` and
`end` or `wake` are performed inside that callback (`_frozen`).
"""

import json
from collections.abc import Callable
from contextlib import ExitStack

from limosa.engine import checkpoint, commits, ending, exchange, journal, restore
from limosa.engine.channel_store import expected
from limosa.engine.exchange import Peer
from limosa.engine.host import Host
from limosa.model import codec, handover, peer_protocol
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import container_ref
from limosa.model.container import ContainerRecord, Phase
from limosa.model.errors import LimosaError
from limosa.model.handover import FAILED, LOST, OK, Ask, Do, Outcome, SourceProgram, Step, Write
from limosa.model.hints import Final
from limosa.model.migration import MigrationEntry, Part, Took
from limosa.model.peer_protocol import Failure, Question, Reply
from limosa.ports.checkpointer import DumpMoment

_ANSWER_S: Final = {"offer": 60.0, "prepare": 900.0, "go": 300.0, "abort": 60.0, "done": 60.0}
_AGAIN: Final = ("go", "abort", "done")  # what may be asked again over a new connection
_CRIU_S: Final = 60.0
_END_S: Final = 10.0
_ACCEPTED_S: Final = 0.5  # in which programs accept who has connected; those whom they never accept are lost


class _GoOn(Exception):
    """The container's processes are to go on."""


class Giving:
    """One run of the source's program. `reconnect` gives a new connection, for as long as it is wanted, or raises."""

    def __init__(
        self,
        host: Host,
        entry: MigrationEntry,
        peer: Peer | None,
        reconnect: Callable[[ExitStack], Peer],
        send: Callable[["Giving"], None],
    ) -> None:
        self.host, self.entry, self.peer = host, entry, peer
        self._reconnect, self._send = reconnect, send
        self._held = ExitStack()
        self._is_locked = False
        self._commit: CommitRecord | None = None
        self.failure: LimosaError | None = None  # why it is not there
        self.frozen_at_ns = self.up_at_ns = self._marked_ns = 0
        self.took: tuple[Took, ...] = ()  # of the time in which it stood still
        self.sent_frozen_bytes = self.retransmitted = 0

    def run(self, program: SourceProgram) -> Outcome:
        """Perform a program to its end and return its value.

        If a step raises, the journal has the phase before it, and the container is as that phase says.
        """
        with self._held:
            try:
                step = next(program)
                while True:
                    if step == Do("freeze"):
                        step = self._frozen(program)
                    else:
                        step = program.send(self.perform(step))
            except StopIteration as ended:
                outcome: Outcome = ended.value
                return outcome

    def perform(self, step: Step) -> str:
        """Perform one step that is not `freeze`, and return what became of it."""
        if isinstance(step, Write):
            assert step.phase in handover.SOURCE_FOLLOWS[self.entry.phase]  # type: ignore[index]
            self.entry = self.entry._replace(phase=step.phase)
            self.host.migrations.write(self.entry)
            return OK
        if isinstance(step, Ask):
            return self._ask(step.question)
        return {"send": self._sent, "wake": self._wake, "remove": self._remove}[step.what]()

    # Asking

    def _ask(self, question: handover.Question) -> str:
        if question == "prepare" and self._commit is not None and self.peer is not None:
            try:
                self.sent_frozen_bytes = exchange.send_commits(self.host, self.peer, [self._commit])
                self._mark("send")
            except LimosaError as failed:
                self.failure = failed
                return LOST
        if question == "go":  # it is held there, too
            self.host.networks.forward_held(self.entry.container_id)
        if self.peer is not None:
            answer = self._asked(self.peer, question)
            if answer != LOST or question not in _AGAIN:
                return answer
        if question not in _AGAIN:
            return LOST
        try:
            with ExitStack() as again:
                return self._asked(self._reconnect(again), question)
        except LimosaError as unreachable:
            self.failure = unreachable
            return LOST

    def _asked(self, peer: Peer, question: handover.Question) -> str:
        entry = self.entry
        record = self._offered() if question == "offer" else ""
        asked = Question(
            entry.migration_id, question, record, entry.commit, entry.there, self.host.peers.own_name(),
            "keep" if entry.keep_connections else "close", entry.way,
        )  # fmt: skip
        try:
            peer.connection.send(asked)
            reply = expected(peer.connection, Reply, limit_s=_ANSWER_S[question])
        except LimosaError as lost:
            self.failure = lost
            return LOST
        assert isinstance(reply, Reply)
        if reply.failure is not None:
            self.failure = _told(reply.failure, peer)
        if question == "prepare":
            self._mark("prepare")
            self.took += reply.took
        if reply.answer == "up":
            self._mark("go")
            self.up_at_ns = self._marked_ns
            self.retransmitted = reply.retransmitted
        return reply.answer

    def _mark(self, part: Part) -> None:
        """Say that a part of the frozen time has ended."""
        now_ns = self.host.now_ns()
        self.took += (Took(part, now_ns - self._marked_ns),)
        self._marked_ns = now_ns

    def _offered(self) -> str:
        record = self.host.containers.load(self.entry.container_id)
        return json.dumps(codec.to_jsonable(record))

    # Deeds

    def _lock(self) -> None:
        """Hold the container from now on. Raises: LimosaError LIM-NAME-003: it is gone."""
        if not self._is_locked:
            self._held.enter_context(self.host.containers.locked(self.entry.container_id))
            self._is_locked = True

    def _sent(self) -> str:
        try:
            self._send(self)
        except LimosaError as failed:
            self.failure = failed
            return FAILED
        return OK

    def _frozen(self, program: SourceProgram) -> Step:
        """Freeze, and perform what follows up to `end` or `wake`; return the step after that."""
        host, container_id = self.host, self.entry.container_id
        last: list[Step] = []

        def hold(commit: CommitRecord) -> None:
            last.append(self._stands_still(program, commit))
            if last[0] == Do("wake"):
                raise _GoOn

        try:
            self._lock()
            record = ending.loaded(host, container_id)
            host.containers.save(record._replace(phase="migrating"))

            def on_moment(moment: DumpMoment) -> None:
                if moment == "pre-dump":
                    if ending.networked(record.config):
                        host.networks.settle_newcomers(container_id, record.init_pid, _ACCEPTED_S)
                    self.frozen_at_ns = self._marked_ns = host.now_ns()
                # They stand still: what they have said is out, and what they were told will be in the dump.
                if moment == "network-lock" and ending.networked(record.config):
                    host.networks.hold(container_id)
                    host.networks.silence(container_id)

            checkpoint.held(host, record, f"migration to {self.entry.peer_name}", hold, on_moment)
        except _GoOn:
            return program.send(self._wake())
        except LimosaError as failed:
            if self._commit is not None and not last:
                raise
            self.failure = failed
            return program.send(FAILED)
        status = host.runtime.wait(container_id, ending.process_of(record), _END_S)
        self._mark("end")
        return program.send(FAILED if status is None else OK)

    def _stands_still(self, program: SourceProgram, commit: CommitRecord) -> Step:
        """Perform what is done while all processes stand still; return the step that ends that."""
        self._commit = commit
        self._mark("commit")
        self.entry = self.entry._replace(commit=commit.commit_id)
        step = program.send(OK)
        while step not in (Do("end"), Do("wake")):
            step = program.send(self.perform(step))
        return step

    def _locked(self, *phases: Phase) -> ContainerRecord | None:
        """Lock it and return its record; None if it is gone or in another phase: all is done then."""
        try:
            self._lock()
            record = self.host.containers.load(self.entry.container_id)
        except LimosaError as gone:
            ending.unless_gone(gone)
            return None
        return record if record.phase in phases else None

    def _wake(self) -> str:
        """Bring it back here, whatever there is of it."""
        host, container_id = self.host, self.entry.container_id
        record = self._locked("migrating")
        if record is None:
            return OK
        process = ending.process_of(record)
        if ending.this_boot(host, record):
            host.checkpointer.released(record.init_pid, _CRIU_S)
        if ending.this_boot(host, record) and host.runtime.wait(container_id, process, 0) is None:
            if ending.networked(record.config):
                host.networks.unsilence(container_id, record.init_pid)
            host.containers.save(record._replace(phase="running"))
            self._forget_commit()
            return OK
        self._revive(record)
        return OK

    def _revive(self, record: ContainerRecord) -> None:
        """Restore it from the last commit, which nobody else has run; without one it has ended as by a power loss."""
        host = self.host
        commit = self._last_commit()
        if commit is None:
            ending.settle(host, record._replace(phase="running"), ending.KILLED)
            return
        record = ending.idle(record)
        try:
            with restore.brought(host, commit) as images:
                restore.in_place(host, record, commit, images, keep_connections=True, hold=lambda _: None)
        except LimosaError as failed:
            self.failure = failed
            host.containers.save(record._replace(phase="stopped", stopped_by_user=True))

    def _last_commit(self) -> CommitRecord | None:
        """Return the commit that ended the processes, if it came to that."""
        head = commits.head(self.host, self.entry.container_id)
        if head is None:
            return None
        found = commits.described(head, self.host.store.commit(head))
        return found if found.stopped and found.created_ns >= self.entry.created_ns else None

    def _forget_commit(self) -> None:
        """Take back the commit of a freeze that is undone: it says that its connections may be kept."""
        commit = self._last_commit()
        if commit is None:
            return
        host = self.host
        parent = exchange.object_id(commit.parent) if commit.parent else None
        host.store.set_ref(
            container_ref(self.entry.container_id),
            parent,
            when_ns=host.now_ns(),
            why="migration undone",
            expected=commits.identifier(commit),
        )
        host.storage.drop_snapshot(self.entry.container_id, commit.snapshot)

    def _remove(self) -> str:
        host = self.host
        record = self._locked("migrating", "removing")
        if record is None:
            return OK
        journal.note(host, "migrate", record, f"to {self.entry.peer_name}")
        host.networks.silence(record.container_id)  # whatever there still is of it: its connections are there now
        if self.entry.keep:
            kept = record._replace(phase="running", stopped_by_user=True, moved_to=self.entry.peer_name)
            ending.settle(host, kept, 0)
        else:
            ending.erase(host, record)
        return OK


def _told(failure: Failure, peer: Peer) -> LimosaError:
    return peer_protocol.raised(failure, peer.connection.name)
