"""A container whose files are in place is filled from images of criu: the one way in which processes come back."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress

from limosa.engine import bundle, ending, journal, lifecycle, origins, pausing, system
from limosa.engine.host import Host
from limosa.model import cgroup
from limosa.model.cgroup import CgroupNode
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import ObjectId
from limosa.model.container import SUBORDINATE_IDS, ContainerRecord, Phase
from limosa.model.hints import Final
from limosa.model.value import NamedTuple
from limosa.ports.checkpointer import RestoreMoment, RestorePlan
from limosa.ports.page_servers import LazyMemory, PageServer
from limosa.ports.runtime import Started

Hold = Callable[[ContainerRecord], None]


class Brought(NamedTuple):
    """A commit's images of criu, and the memory that is not in them."""

    directory: str
    memories: tuple[LazyMemory, ...] = ()
    in_background: bool = False  # comes also if nobody touches it


_MACHINE_ID: Final = "/etc/machine-id"
_MACHINE_ID_DIGITS: Final = 32


def revive(
    host: Host,
    record: ContainerRecord,
    commit: CommitRecord,
    images: Brought,
    undo: ExitStack,
    *,
    keep_connections: bool,
    phase: Phase = "running",
    isolated: bool = False,
    hold: Hold | None = None,
    examined: bool = False,
    before_it_goes_on: Hold | None = None,
) -> ContainerRecord:
    """Let CRIU fill a container whose files are in place from `images`.

    On success `undo` is emptied and it has `phase`: it runs, or it is "paused" before any process has run. An
    `isolated` one has its addresses, and a network on which nobody is. `hold` is called, with a record that names its
    processes, when all is there and no instruction of it has run and no packet of it has left; they do once it has
    returned. If it raises, nothing of it is left. `before_it_goes_on` is called so for one that is told apart from what
    it comes from: after that. Images of a stranger are held against what limosa would give the container first, unless
    they were `examined` for another copy.
    Raises: LimosaError LIM-CRIU-040, -041: they are nothing that limosa restores; no criu ran.
    """
    container_id = record.container_id
    rootfs = lifecycle.acquired(host, record, undo, commit.container.device_number)
    plan = bundle.plan(host, record, rootfs)
    directory = images.directory
    if origins.is_foreign(commit) and not examined:
        origins.require_confined(host, commit, plan, directory)
    groups = _with_own_ids(host, record, commit, directory)
    undo.callback(host.runtime.delete, container_id)
    undo.callback(host.cgroups.kill, container_id)
    if ending.networked(record.config):
        # Before they are killed: their connections are still to be had from the commit, and must not be closed.
        undo.callback(host.networks.silence, container_id)
    wanted = _Wanted(keep_connections, phase == "paused", isolated, hold, before_it_goes_on)
    lazily = bool(images.memories)
    with ExitStack() as restoring:
        session = restoring.enter_context(host.checkpointer.session(lazy_pages=lazily))
        server = restoring.enter_context(_server(host, record, commit, images)) if lazily else None
        moments = _Moments(host, record, commit, directory, groups, wanted, server)
        seat = host.runtime.begin_restore(plan, session.argv, session.remote_fd)
        try:
            host.checkpointer.restore(
                session,
                RestorePlan(
                    criu_images=directory,
                    rootfs=rootfs,
                    cgroup_roots=host.cgroups.criu_root(container_id),
                    inherited=_inherited(commit),
                    pid_file=seat.pid_file,
                    # What leaves a container of limosa's networks is aborted above, before its processes go on.
                    keep_connections=keep_connections or ending.networked(record.config),
                    own_network=moments.own_network,
                    external_mounts=bundle.external_mounts(plan),
                    lazy_pages=lazily,
                ),
                moments,
                lambda master: host.runtime.give_terminal(seat, master),
            )
        except BaseException:
            host.runtime.abandon_restore(seat)
            raise
    started: Started = host.runtime.finish_restore(plan, seat)
    record = lifecycle.running(host, record, started, phase=phase)
    undo.pop_all()
    return record


def _server(
    host: Host, record: ContainerRecord, commit: CommitRecord, images: Brought
) -> AbstractContextManager[PageServer]:
    def failed(why: str) -> None:
        journal.note(host, "memory-lost", record, why)

    identifier = ObjectId(bytes.fromhex(commit.commit_id))
    return host.page_servers.serving(
        record.container_id,
        host.store,
        identifier,
        images.memories,
        images.directory,
        failed,
        in_background=images.in_background,
    )


class _Wanted(NamedTuple):
    once: bool  # only the last commit of a container that it ended comes back as nothing but itself
    paused: bool
    isolated: bool
    hold: Hold | None
    before_it_goes_on: Hold | None


class _Moments:
    """What is done at criu's notifications."""

    def __init__(
        self,
        host: Host,
        record: ContainerRecord,
        commit: CommitRecord,
        criu_images: str,
        groups: tuple[CgroupNode, ...],
        wanted: _Wanted,
        server: PageServer | None,
    ) -> None:
        self._server = server
        self._host, self._record, self._commit, self._groups, self._wanted = host, record, commit, groups, wanted
        self._criu_images = criu_images
        self._networked = ending.networked(record.config)
        self.own_network = record.config.network.network != "host"

    def __call__(self, moment: RestoreMoment, init_pid: int) -> None:
        host, container_id = self._host, self._record.container_id
        if moment == "setup-namespaces" and self.own_network:
            host.networks.furnish(init_pid, self._record.config.sysctls)
            if self._networked:
                # Silent until nothing can fail any more: now no socket is there, and its peers would be told that.
                host.networks.connect(container_id, init_pid, silent=True)
        if moment == "post-setup-namespaces" and any(node.path for node in self._groups):
            # Not earlier: v2 lets nobody into a group that has controllers for groups below. Not later: files of these
            # groups are watched.
            host.cgroups.restore_subtree(container_id, self._groups)
        # Not at pre-resume: criu would go on even if one of these failed.
        if moment == "post-restore" and self._server is not None:
            self._server.adopt(init_pid)
        if moment == "post-restore":
            host.checkpointer.require_locks(self._criu_images, host.cgroups.processes(container_id))
        if moment == "post-restore" and self._wanted.hold is not None:
            self._wanted.hold(self._seated(init_pid))
        if moment == "pre-resume":
            try:
                # Before anybody is let in: a hook may open the files.
                host.checkpointer.take_locks(self._criu_images, host.cgroups.processes(container_id))
                if not self._wanted.once:
                    self._tell_apart(init_pid)
                elif self._networked:
                    host.networks.unsilence(container_id, init_pid)
            except BaseException:
                # criu lets them go all the same: into the freezer, in which the undo kills them. Killed now they would
                # hang it: it waits for the first thread of each, which ends after the others, which it has to reap.
                pausing.freeze(host, self._record)
                raise
            if self._wanted.paused:
                # criu still holds them all: what it lets go of now stands in the freezer.
                pausing.freeze(host, self._record)

    def _seated(self, init_pid: int) -> ContainerRecord:
        return lifecycle.with_processes(self._record, self._host.runtime.seated(self._record.container_id, init_pid))

    def _tell_apart(self, init_pid: int) -> None:
        host, container_id = self._host, self._record.container_id
        _tell_apart(host, self._record, init_pid, is_copy=container_id != self._commit.container.container_id)
        if self._networked:
            host.networks.abort_outside(init_pid)
            if not self._wanted.isolated:
                host.networks.unsilence(container_id, init_pid)
        if self._wanted.before_it_goes_on is not None:
            self._wanted.before_it_goes_on(self._seated(init_pid))


def _with_own_ids(host: Host, record: ContainerRecord, commit: CommitRecord, directory: str) -> tuple[CgroupNode, ...]:
    """Give a commit's images the host's ids of a container; return the groups below its own with owners of these.

    A stranger's groups have no other owners. Raises: LimosaError LIM-CRIU-040.
    """
    first, source = record.first_host_id, commit.container.first_host_id
    if source:  # also if they are the same: the images may be those of an earlier copy, with its ids
        host.checkpointer.move_ids(directory, source, first)
    moved = cgroup.with_owners_moved(commit.cgroups, source, first, SUBORDINATE_IDS)
    return cgroup.with_owners_within(moved, first, SUBORDINATE_IDS) if origins.is_foreign(commit) else moved


def _tell_apart(host: Host, record: ContainerRecord, init_pid: int, *, is_copy: bool) -> None:
    """Change what must not be the same in two that come from one commit; no process of it runs."""
    container_id = record.container_id
    host.identities.advance_generation(container_id)
    host.identities.wipe_unique_memory(host.cgroups.processes(container_id))
    if not is_copy:
        return
    name = bundle.hostname(record)
    host.identities.rename_host(init_pid, name)
    with suppress(OSError):  # it has no such file
        host.rootfs.rewrite(container_id, system.HOSTNAME_FILE, f"{name}\n".encode())
    try:
        if len(host.rootfs.read(container_id, _MACHINE_ID).strip()) == _MACHINE_ID_DIGITS:
            machine_id = host.random_bytes(_MACHINE_ID_DIGITS // 2).hex()
            host.rootfs.rewrite(container_id, _MACHINE_ID, f"{machine_id}\n".encode())
    except OSError:  # it has none, or none that is its own
        return


def _inherited(commit: CommitRecord) -> tuple[tuple[str, int], ...]:
    """Standard input is inherited only where it was kept open; otherwise it is a pipe at its end, criu's own.

    A terminal is not inherited: criu makes it anew and its master goes to the monitor.
    """
    if commit.container.config.terminal:
        return ()
    first = 0 if commit.container.config.stdin_open else 1
    seen: dict[str, int] = {}
    for descriptor in range(first, 3):
        seen.setdefault(commit.streams[descriptor], descriptor)
    return tuple(seen.items())
