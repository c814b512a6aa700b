"""Finish what a dead command left: containers between two phases, and things that belong to no container.

Every acquired thing is found by its name, which is a container's id; undoing is idempotent, so this may itself be
killed and repeated.
"""

from collections.abc import Callable

from limosa.engine import commit_mounts, commits, ending, migrate, schedules
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.dumps import Dump


class Recovered(NamedTuple):
    """What was done: one line each."""

    lines: tuple[str, ...]


def recover(host: Host) -> Recovered:
    """Bring the host in order and return what was done.

    A command at work is waited for (it holds its container's lock), so nothing that lives is taken for a leftover.
    Where no container is left, the pool, the bridges and the root's own cgroup go too.
    """
    lines: list[str] = []
    # What might be a leftover is listed before the locks are waited for and the records are read: what a command makes
    # in the meantime is then in no list, and what it had begun before is finished or dead.
    dumps = host.dumps.present()
    lines += commit_mounts.recover(host)
    lines += schedules.recover(host)
    found = _everything(host)
    stored = host.storage.present()
    lines += _migrations(host)
    needed = _NeededSnapshots(host)
    for record in host.containers.all():
        lines += _mend(host, record.container_id, needed)
    lines += host.containers.sweep_strays()
    host.networks.sweep()
    lines += _stray_dumps(host, dumps)
    lines += [f"removed the files of {name}, which is no volume" for name in _stray_volumes(host)]
    lines += host.oci_images.tidy()
    known = {record.container_id for record in host.containers.all()}
    known |= {one.mount_id for one in host.commit_mounts.all()}
    for what, container_id, actions in found:
        if container_id not in known:
            for action in actions:
                action(container_id)
            lines.append(_stray(what, container_id))
    for container_id in stored:
        if container_id not in known and _stray_files(host, container_id, needed):
            lines.append(_stray("files", container_id))
    if not known:
        host.own_view.close(lambda: bool(host.containers.all()))
        host.networks.tidy()
        host.storage.close()
        host.cgroups.close()
    return Recovered(tuple(lines))


def _migrations(host: Host) -> list[str]:
    """Go on with migrations whose commands are dead, and say how each stands."""
    lines = []
    for entry in host.migrations.all():
        try:
            settled = migrate.recover(host, entry)
        except BlockingIOError:  # its command lives
            continue
        except LimosaError as failed:
            lines.append(f'"{entry.name}": its migration cannot be finished yet: {failed.summary}')
            continue
        lines.append(f'"{entry.name}" {migrate.told(host, entry, settled)}')
    host.migrations.sweep()
    return lines


def _stray_dumps(host: Host, found: list[Dump]) -> list[str]:
    """Remove the dumps of dead commands, and snapshots of commits that never were."""
    kept = {commit.snapshot for commit in commits.every(host)} if found else set()
    for dump in found:
        if dump.label not in kept:
            host.storage.drop_snapshot(dump.container_id, dump.label)
            host.volumes.drop_snapshots(dump.label)
        host.dumps.remove(dump)
    return [f"removed an unfinished dump of {dump.container_id}" for dump in found]


def _stray_volumes(host: Host) -> list[str]:
    with host.volumes.locked():
        return host.volumes.tidy()


def _mend(host: Host, container_id: ContainerId, needed: "_NeededSnapshots") -> list[str]:
    try:
        with host.containers.locked(container_id):
            before = host.containers.load(container_id)
            host.containers.sweep(container_id)
            if before.phase in ending.LIVE and host.page_servers.lost(container_id):
                host.cgroups.kill(container_id)  # what it was not given yet it would take for zeros
            after = ending.in_order(host, before)
            if after is not None:
                after = _idle_things(host, before, after)
            if after is not None:
                _stray_snapshots(host, container_id, needed)
    except LimosaError as gone:
        ending.unless_gone(gone)
        return []
    if after is not None:
        keeperless = after.phase == "restarting" and not host.keepers.alive(after.keeper)
        ending.see_to_keeper(host, after)
        if keeperless:
            return [f'"{before.config.name}" was {before.phase}: it is started again']
    return _told(before, after)


def _idle_things(host: Host, before: ContainerRecord, record: ContainerRecord) -> ContainerRecord | None:
    """Take from a container that was at rest what a command may have left; None if it was to remove itself."""
    if record.phase not in ("created", "stopped"):
        return record
    container_id = record.container_id
    if before.phase in ("created", "stopped", "restarting"):
        host.runtime.delete(container_id)
    if record.config.remove_when_stopped and not host.containers.is_watched(container_id):
        ending.erase(host, record)
        return None
    return record


class _NeededSnapshots:
    """The labels of the snapshots that commits have, read once for all containers."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._labels: frozenset[str] = frozenset()

    def strays(self, labels: list[str]) -> list[str]:
        """Return those of `labels` that no commit has. The caller holds their container's lock.

        What was read before the lock was had may lack the newest commits, so nobody is a stray by that alone.
        """
        if not all(label in self._labels for label in labels):
            self._labels = frozenset(commit.snapshot for commit in commits.every(self._host))
        return [label for label in labels if label not in self._labels]


def _stray_snapshots(host: Host, container_id: ContainerId, needed: _NeededSnapshots) -> list[str]:
    """Drop snapshots of a container's files that belong to no commit: a checkpoint or its removal was cut off."""
    strays = needed.strays(host.storage.snapshots(container_id))
    for label in strays:
        host.storage.drop_snapshot(container_id, label)
        host.volumes.drop_snapshots(label)
    return strays


def _stray_files(host: Host, container_id: ContainerId, needed: _NeededSnapshots) -> bool:
    """Remove the files of what is no container, and say whether there were any.

    A snapshot of a commit stays: a copy of the commit, or a mount, brought it back, and the next need not do so again.
    """
    discarded = host.storage.discard_files(container_id)
    host.storage.release(container_id)  # a disk that a copy of the commit was made from
    return bool(_stray_snapshots(host, container_id, needed)) or discarded


def _stray(what: str, container_id: ContainerId) -> str:
    return f"removed the {what} of {container_id}, which is no container any more"


def _told(before: ContainerRecord, after: ContainerRecord | None) -> list[str]:
    name = before.config.name
    if after is None:
        return [f'"{name}" was {before.phase}: removed']
    if before.phase in ending.LIVE and after.phase not in ending.LIVE:
        ended = after.exit.status if after.exit else ending.KILLED
        return [f'"{name}" had ended with {ended}: released what it held']
    if after.phase != before.phase:
        return [f'"{name}" was {before.phase}: {after.phase}']
    return []


def _everything(host: Host) -> list[tuple[str, ContainerId, tuple[Callable[[ContainerId], None], ...]]]:
    """Return what is there by container but files, with what removes it: processes first, then what they use."""
    groups = (
        ("cgroup", host.cgroups.present(), (host.cgroups.end,)),
        ("interface", host.networks.present(), (host.networks.disconnect, host.networks.forget)),
        ("mount", host.rootfs.present(), (host.rootfs.unmount,)),
        ("bundle", host.runtime.present(), (host.runtime.delete,)),
        ("timer", host.timers.present(), (host.timers.remove,)),
    )
    return [(what, container_id, actions) for what, ids, actions in groups for container_id in ids]
