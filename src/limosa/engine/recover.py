"""Finish what a dead command left: containers between two phases, and things that belong to no container.

Every acquired thing is found by its name, which is a container's id; undoing is idempotent, so this may itself be
killed and repeated.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from limosa.engine import lifecycle
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.ids import ContainerId

_TRANSITIONAL: Final = ("creating", "starting", "stopping", "removing")


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
    unfinished = host.commits.unfinished()
    found = _everything(host)
    for record in host.containers.all():
        lines += _mend(host, record.container_id)
    for commit_id in unfinished:
        host.commits.abandon(commit_id)
        lines.append(f"removed the unfinished commit {commit_id}")
    lines += [f"removed the files of {name}, which is no volume" for name in _stray_volumes(host)]
    lines += host.oci_images.tidy()
    known = {record.container_id for record in host.containers.all()}
    for what, container_id, actions in found:
        if container_id not in known:
            for action in actions:
                action(container_id)
            lines.append(f"removed the {what} of {container_id}, which is no container any more")
    if not known:
        host.own_view.close(lambda: bool(host.containers.all()))
        host.networks.tidy()
        host.storage.close()
        host.cgroups.close()
    return Recovered(tuple(lines))


def _stray_volumes(host: Host) -> list[str]:
    with host.volumes.locked():
        return host.volumes.tidy()


def _mend(host: Host, container_id: ContainerId) -> list[str]:
    with host.containers.locked(container_id):
        record = host.containers.load(container_id)
        name = record.config.name
        if record.phase == "running":
            status = host.runtime.wait(container_id, lifecycle.process_of(record), 0)
            if status is None:
                return []
            lifecycle.settle(host, record, status)
            return [f'"{name}" had ended with {status}: released what it held']
        if record.phase not in _TRANSITIONAL:
            return []
        return [_undo(host, record)]


def _undo(host: Host, record: ContainerRecord) -> str:
    container_id, name = record.container_id, record.config.name
    lifecycle.release(host, record)
    if record.phase in ("creating", "removing"):
        host.networks.forget(container_id)
        host.identities.remove(container_id)
        host.storage.destroy(container_id)
        host.containers.remove(container_id)
        return f'"{name}" was {record.phase}: removed'
    host.containers.save(record._replace(phase="stopped", init_pid=0, init_start_ticks=0))
    return f'"{name}" was {record.phase}: stopped'


def _everything(host: Host) -> list[tuple[str, ContainerId, tuple[Callable[[ContainerId], None], ...]]]:
    """Return what is there by container, with what removes it: processes first, then what they use."""
    groups = (
        ("cgroup", host.cgroups.present(), (host.cgroups.kill, host.cgroups.destroy)),
        ("interface", host.networks.present(), (host.networks.disconnect, host.networks.forget)),
        ("mount", host.rootfs.present(), (host.rootfs.unmount,)),
        ("files", host.storage.present(), (host.storage.destroy,)),
    )
    return [(what, container_id, actions) for what, ids, actions in groups for container_id in ids]
