"""The source's side of a migration that is not live: the container is stopped, its files are sent, it starts there.

The steps are those of model/handover.py. `freeze` stops the program and commits its files, so that nothing of it stands
still, and `end` has nothing left to do; to wake it is to start it again from its own files, which nobody has changed.
"""

from limosa.engine import commits, ending, exchange, files_commit, lifecycle
from limosa.engine.giving import Giving
from limosa.model.commit_store import container_ref
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.handover import FAILED, OK, Do, SourceProgram, Step


class GivingStopped(Giving):
    """One run of the source's program for a container that is stopped and started."""

    def perform(self, step: Step) -> str:
        """See `Giving`."""
        return OK if step == Do("end") else super().perform(step)

    def _frozen(self, program: SourceProgram) -> Step:
        """Stop it and have its files in the last commit; return the step after that."""
        host, container_id = self.host, self.entry.container_id
        try:
            self._lock()
            record = ending.loaded(host, container_id)
            lifecycle.require_running(record, "migrate")
            record = record._replace(phase="migrating")
            host.containers.save(record)
            self.frozen_at_ns = self._marked_ns = host.now_ns()
            record = self._ended(record)
            self._mark("stop")
            self._commit = files_commit.take(host, record, f"migration to {self.entry.peer_name}, stopped")
            self._mark("commit")
            self.entry = self.entry._replace(commit=self._commit.commit_id)
        except LimosaError as failed:
            self.failure = failed
            return program.send(FAILED)
        return program.send(OK)

    def _ended(self, record: ContainerRecord) -> ContainerRecord:
        """End its program, if that lives, as `stop` does, and take back all but files and reservations."""
        host = self.host
        if record.init_pid and ending.this_boot(host, record):
            record, _ = lifecycle.end_program(host, record)
        ending.release(host, record)
        record = ending.idle(record)
        host.containers.save(record)
        return record

    def _wake(self) -> str:
        """Start it again, whatever there is of it; one that was not asked to end yet runs on."""
        host = self.host
        record = self._locked("migrating")
        if record is not None:
            record = self._ended(record)
            try:
                lifecycle.start_locked(host, record)
            except LimosaError as failed:
                self.failure = failed
                host.containers.save(record._replace(phase="stopped", stopped_by_user=True))
        self._forget_rounds()
        return OK

    def _forget_rounds(self) -> None:
        """Take back the commits of files alone: the container's next one is to descend from what can be restored."""
        host, container_id = self.host, self.entry.container_id
        while (head := commits.head(host, container_id)) is not None:
            commit = commits.described(head, host.store.commit(head))
            if not commit.files_only or commit.created_ns < self.entry.created_ns:
                return
            parent = exchange.object_id(commit.parent) if commit.parent else None
            host.store.set_ref(
                container_ref(container_id), parent, when_ns=host.now_ns(), why="migration undone", expected=head
            )
            host.storage.drop_snapshot(container_id, commit.snapshot)
            host.volumes.drop_snapshots(commit.snapshot)
