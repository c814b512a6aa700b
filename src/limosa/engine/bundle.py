"""From a container's record to what the OCI runtime has to be told."""

from limosa.engine import mounts, system
from limosa.engine.host import Host
from limosa.model import init, users
from limosa.model.container import ContainerRecord
from limosa.model.ids import short
from limosa.ports.identity import GENERATION_PATH
from limosa.ports.runtime import INIT_HELPER_PATH, BundlePlan

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def account(host: Host, record: ContainerRecord, text: str) -> users.User:
    """Return who `text` is in the container, whose rootfs is mounted. Raises: LimosaError LIM-RUN-005."""
    return users.resolved(text, _text(host, record, "/etc/passwd"), _text(host, record, "/etc/group"))


def _text(host: Host, record: ContainerRecord, path: str) -> str:
    try:
        return host.rootfs.read(record.container_id, path).decode(errors="replace")
    except OSError:
        return ""


def plan(host: Host, record: ContainerRecord, rootfs: str) -> BundlePlan:
    """Return the plan of a start or restore; the rootfs is mounted."""
    config = record.config
    user = account(host, record, config.user)
    env = {"PATH": PATH, "HOME": user.home, "HOSTNAME": hostname(record), "container": "limosa"}
    argv = config.args
    if config.kind == "system":
        found = system.init_of(host, record)
        argv = found.argv
        env.update(init.environment(found.family, record.container_id))
    env.update(config.env)
    if config.terminal:
        env.setdefault("TERM", "xterm")
    networked = config.network.own
    return BundlePlan(
        container_id=record.container_id,
        config=config,
        rootfs=rootfs,
        first_host_id=record.first_host_id,
        argv=argv,
        uid=user.uid,
        gid=user.gid,
        groups=user.groups,
        env=tuple(env.items()),
        hosts_file=host.networks.hosts_file(record.container_id) if networked else "",
        resolv_conf=host.networks.resolv_conf(record.container_id) if networked else "",
        hostname=hostname(record),
        mount_sources=mounts.sources(host, record),
        device_nodes=mounts.device_nodes(host, record),
        proc_view_files=host.own_view.provide(),
        generation_file=host.identities.generation_file(record.container_id),
        init_helper=host.runtime.init_helper() if config.init_helper and config.kind == "app" else "",
    )


def hostname(record: ContainerRecord) -> str:
    """Return the container's host name: as asked for, or a system container's name, or the short id as docker does."""
    own = record.config.name if record.config.kind == "system" else short(record.container_id)
    return record.config.hostname or own


def external_mounts(plan: BundlePlan) -> tuple[tuple[str, str], ...]:
    """Return (path inside, host path) of every file and directory that a container gets from outside."""
    found = [("/etc/hosts", plan.hosts_file), ("/etc/resolv.conf", plan.resolv_conf)]
    found += [(GENERATION_PATH, plan.generation_file), (INIT_HELPER_PATH, plan.init_helper)]
    found += [*plan.mount_sources, *plan.device_nodes]
    found += [(inside, outside) for outside, inside in plan.proc_view_files]
    return tuple((inside, outside) for inside, outside in found if outside)
