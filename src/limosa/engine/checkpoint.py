"""Commits of running containers: memory, files and configuration at one instant.

The files are captured in CRIU's post-dump, while every process is still stopped: memory and files are of one moment.
Both are read and stored after the processes go on.
"""

from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress

from limosa.engine import bundle, commits, ending, journal, lifecycle, obstacles, volume_commits
from limosa.engine.host import Host
from limosa.model.cgroup import CgroupNode
from limosa.model.commit import CheckpointStats, CommitRecord
from limosa.model.commit_store import PageMap, WriteStats
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import TYPE_CHECKING
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.checkpointer import DumpMoment, DumpPlan, OnDumpMoment
from limosa.ports.commit_store import CommitReader, CommitWriter, Unread
from limosa.ports.dumps import Dump
from limosa.ports.written_pages import Following, KeepAhead, ProcessMemory

if TYPE_CHECKING:
    from threading import Thread

Hold = Callable[[CommitRecord], None]


class Wanted(NamedTuple):
    """How a container is to be committed."""

    message: str = ""
    stop: bool = False  # end the container with the commit
    end_sessions: bool = False  # end running exec sessions first; without it they are a reason to refuse
    scheduled: bool = False  # nobody asked for it but a timer
    measured: Callable[[CheckpointStats], None] = lambda _: None  # is told what it took


def checkpoint(host: Host, container_id: ContainerId, wanted: Wanted = Wanted()) -> CommitRecord:  # noqa: B008 - immutable
    """Commit a running container, which goes on running unless that was to end it.

    Raises: LimosaError LIM-CONT-002: it does not run; LIM-CRIU-…: it cannot be dumped; LIM-CRIU-020: an exec session
    runs; LIM-CSTORE-006: the disk is full; LIM-LAZY-001: its memory cannot be completed.
    The container runs as before then, and nothing is left of the attempt.
    """
    with host.containers.locked(container_id):
        return of_locked(host, ending.loaded(host, container_id), wanted)


def of_locked(host: Host, record: ContainerRecord, wanted: Wanted) -> CommitRecord:
    """Commit a container whose lock the caller holds; see `checkpoint`."""
    commit = _taken(host, record, wanted)
    if wanted.stop:
        status = host.runtime.wait(record.container_id, ending.process_of(record), 10)
        ending.settle(host, record._replace(stopped_by_user=True), status)
    return commit


def held(
    host: Host, record: ContainerRecord, message: str, hold: Hold, on_moment: OnDumpMoment = lambda _: None
) -> CommitRecord:
    """Commit a container and end its processes, once `hold` has returned: it gets the commit while all stand still.

    `on_moment` is told what criu is about to do.
    If `hold` raises, the processes go on as if nothing had happened, the commit stays, and that is raised. The caller
    holds the container's lock and takes back what the container held. Raises: as `checkpoint`.
    """
    return _taken(host, record, Wanted(message, stop=True), hold, on_moment)


def _taken(
    host: Host,
    record: ContainerRecord,
    wanted: Wanted,
    hold: Hold = lambda commit: None,
    on_moment: OnDumpMoment = lambda _: None,
) -> CommitRecord:
    begun_ns = host.now_ns()
    container_id = record.container_id
    lifecycle.require_running(record, "checkpoint")
    if wanted.end_sessions:
        _end_sessions(host, record)
    obstacles.refuse(host, record)
    _complete(host, container_id)
    dump = Dump(container_id, host.new_id())
    with ExitStack() as always:
        always.callback(host.dumps.remove, dump)
        directory = host.dumps.make(dump)
        with ExitStack() as undo:
            undo.callback(host.storage.drop_snapshot, container_id, dump.label)
            undo.callback(host.volumes.drop_snapshots, dump.label)
            base = always.enter_context(commits.built_upon(host, container_id))
            writing = always.enter_context(ExitStack())
            writer = writing.enter_context(host.store.writing())
            flush = _Flush(host, record)
            always.callback(flush.wait)
            following = always.enter_context(
                host.written_pages.following(
                    container_id,
                    record.init_pid,
                    host.cgroups.processes(container_id),
                    "" if base is None else base.commit_id.hex(),
                    directory,
                    flush.beside(host.memory_archive.keep_ahead(writer, base)),
                )
            )
            writer.rest()
            flush.wait()
            goal = _Goal(writer, writing, base, directory)
            taking = _Taking(host, record, dump, goal, wanted, following, hold, on_moment)
            try:
                commit = taking.commit()
            except LimosaError as failed:
                raise obstacles.explained(host, record, failed) from failed
            undo.pop_all()
    journal.note(host, "checkpoint", record, commit.commit_id)
    wanted.measured(taking.took(commit, host.now_ns() - begun_ns))
    return commit


class _Flush:
    """Writes the container's files to the disk while a processor is busy with its memory.

    Only then: a process may have to be copied before, which no other thread should see. What is dirty by the time that
    memory was read is written back as always.
    """

    def __init__(self, host: Host, record: ContainerRecord) -> None:
        self._host, self._container_id = host, record.container_id
        self._thread: Thread | None = None

    def beside(self, keep: KeepAhead) -> KeepAhead:
        """Return what does as `keep` does, and begins this."""

        def kept(pid: int, since_parent: bool, pages: Iterable[Unread]) -> PageMap:
            if self._thread is None:
                from threading import Thread

                self._thread = Thread(target=self._write)
                self._thread.start()
            return keep(pid, since_parent, pages)

        return kept

    def _write(self) -> None:
        with suppress(LimosaError, OSError):  # what is wrong is told by whoever needs it
            self._host.storage.write_back(self._container_id)

    def wait(self) -> None:
        """Return when it is over."""
        if self._thread is not None:
            self._thread.join()


class _Goal(NamedTuple):
    """Where a commit goes."""

    writer: CommitWriter
    writing: ExitStack  # closes the writer
    base: CommitReader | None
    criu_images: str


class _Taking:
    """One commit being taken."""

    def __init__(
        self,
        host: Host,
        record: ContainerRecord,
        dump: Dump,
        goal: _Goal,
        wanted: Wanted,
        following: Following,
        hold: Hold,
        on_moment: OnDumpMoment,
    ) -> None:
        self._host, self._record, self._dump, self._goal = host, record, dump, goal
        self._wanted, self._following = wanted, following
        self._hold, self._told = hold, on_moment
        self._streams = host.runtime.standard_streams(record.container_id)
        self._volumes = volume_commits.of(host, record.config)
        self._moments: dict[str, int] = {}
        self._memories: list[ProcessMemory] = []
        self._witness: list[ProcessMemory] = []
        self._made: CommitRecord | None = None
        self._written = WriteStats()
        self._frozen_ns = self._dumped_ns = self._stored_ns = 0

    def commit(self) -> CommitRecord:
        """Dump, and return what was stored."""
        host, record = self._host, self._record
        rootfs = host.rootfs.path(record.container_id)
        volume_commits.write_back(host, record, self._volumes)
        plan = DumpPlan(
            init_pid=record.init_pid,
            criu_images=self._goal.criu_images,
            rootfs=rootfs,
            leave_running=not self._wanted.stop,
            own_network=record.config.network.network != "host",
            external_mounts=bundle.external_mounts(bundle.plan(host, record, rootfs)),
            skip_followed=host.written_pages.skips,
            excluded=volume_commits.excluded_places(record.config, self._volumes),
            processes=tuple(host.cgroups.processes(record.container_id)),
        )
        asked_ns = host.now_ns()
        self._frozen_ns = host.checkpointer.dump(plan, self._on_moment)
        self._dumped_ns = host.now_ns() - asked_ns - self._stored_ns
        made = self._made
        assert made is not None
        if not self._wanted.stop:
            made = self._kept(made._replace(frozen_ns=self._frozen_ns or made.frozen_ns))
        self._following.settle(made.commit_id)
        return made

    def _on_moment(self, moment: DumpMoment) -> None:
        host, container_id = self._host, self._record.container_id
        self._moments[moment] = host.now_ns()
        self._told(moment)
        if moment == "post-dump":
            host.storage.take_snapshot(container_id, self._dump.label)
            for volume in self._volumes:
                if volume.policy == "include":
                    host.volumes.take_snapshot(volume.name, self._dump.label)
            groups = host.cgroups.save_subtree(container_id)
            processes = host.cgroups.processes(container_id)
            self._witness = self._following.witness(processes)
            self._memories = self._following.capture(processes)
            self._moments["captured"] = host.now_ns()
            self._made = self._described(groups)
            if self._wanted.stop:  # criu ends the processes when this returns: never are there neither they nor it
                self._made = self._kept(self._made)
                self._hold(self._made)

    def _kept(self, made: CommitRecord) -> CommitRecord:
        begun_ns = self._host.now_ns()
        goal = self._goal
        made, self._written = commits.keep(
            self._host, goal.writer, made, goal.criu_images, goal.base, self._memories, self._witness
        )
        goal.writing.close()
        self._stored_ns = self._host.now_ns() - begun_ns
        return made

    def took(self, commit: CommitRecord, total_ns: int) -> CheckpointStats:
        """Return what all of it took."""
        return CheckpointStats(
            prepared_ns=max(0, total_ns - self._dumped_ns - self._stored_ns),
            dumped_ns=self._dumped_ns,
            captured_ns=self._moments["captured"] - self._moments["post-dump"],
            stored_ns=self._stored_ns,
            frozen_ns=self._frozen_ns or commit.frozen_ns,
            total_ns=total_ns,
            read_bytes=self._written.read_bytes,
            new_bytes=self._written.new_bytes,
            stored_bytes=self._written.stored_bytes,
        )

    def _described(self, groups: tuple[CgroupNode, ...]) -> CommitRecord:
        moments = self._moments
        return CommitRecord(
            container=self._record,
            streams=self._streams,
            snapshot=self._dump.label,
            message=self._wanted.message,
            # criu locks no network that is the host's; shortly before it stops anything is the nearest that it tells.
            frozen_ns=moments["captured"] - moments.get("network-lock", moments.get("pre-dump", moments["captured"])),
            cgroups=tuple(groups),
            stopped=self._wanted.stop,
            scheduled=self._wanted.scheduled,
            volumes=self._volumes,
            created_ns=moments["post-dump"],
        )


def _complete(host: Host, container_id: ContainerId) -> None:
    """Have all memory there: criu would take what is not for empty. Raises: LimosaError LIM-LAZY-001."""
    try:
        host.page_servers.complete(container_id)
    except LimosaError:
        host.cgroups.kill(container_id)  # it is already, unless who does that has died, too
        raise


def _end_sessions(host: Host, record: ContainerRecord) -> None:
    processes = host.cgroups.processes(record.container_id)
    try:
        host.runtime.end_sessions(ending.process_of(record), processes)
    except TimeoutError as stuck:
        name = record.config.name
        raise LimosaError(
            "LIM-CRIU-020",
            f'cannot checkpoint "{name}": an exec session does not end',
            state=f'"{name}" is running; its sessions were asked to end, and killed',
            cause=words_of(stuck),
            hint=f"limosa top {name} shows what it waits for",
        ) from stuck
