"""From a `BundlePlan` to the OCI runtime's config.json."""

import os

from limosa.adapters.crun_runtime import seccomp
from limosa.linux import process
from limosa.model import capabilities
from limosa.model.container import SUBORDINATE_IDS, ContainerConfig, Mount
from limosa.model.hints import Any, Final
from limosa.ports.identity import GENERATION_PATH
from limosa.ports.runtime import INIT_HELPER_PATH, SYSFS, BundlePlan

_MASKED: Final = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
_READ_ONLY: Final = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_SHM: Final = "/dev/shm"  # noqa: S108 - the name inside the container


_FLAGS: Final = (
    (os.ST_RDONLY, "ro"),
    (os.ST_NOSUID, "nosuid"),
    (os.ST_NODEV, "nodev"),
    (os.ST_NOEXEC, "noexec"),
    (os.ST_NOATIME, "noatime"),
    (os.ST_NODIRATIME, "nodiratime"),
)


def config(plan: BundlePlan) -> dict[str, Any]:
    """Return config.json as a value. Raises: LimosaError LIM-SEC-001: no such seccomp profile."""
    wanted = plan.config
    caps = list(_capabilities(wanted, plan.first_host_id))
    process: dict[str, Any] = {
        "terminal": wanted.terminal,
        "user": {"uid": plan.uid, "gid": plan.gid, "additionalGids": list(plan.groups)},
        "args": [INIT_HELPER_PATH, "--", *plan.argv] if plan.init_helper else list(plan.argv),
        "env": [f"{name}={value}" for name, value in plan.env],
        "cwd": wanted.cwd or "/",
        "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
        "noNewPrivileges": wanted.kind == "app" and not wanted.security.privileged,
        "rlimits": [
            {"type": f"RLIMIT_{name.upper()}", "soft": soft, "hard": hard} for name, soft, hard in wanted.ulimits
        ],
    }
    return {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": plan.rootfs, "readonly": wanted.security.read_only_rootfs},
        "hostname": plan.hostname,
        "mounts": mounts(plan),
        "linux": _linux(plan),
        "annotations": {"org.limosa.container": plan.container_id, "run.oci.keep_original_groups": "0"},
    }


def seccomp_profile(config: ContainerConfig, first_host_id: int) -> dict[str, Any] | None:
    """Return the seccomp profile of a container in OCI form, None if it has none. Raises: LimosaError LIM-SEC-001."""
    if config.security.privileged or config.security.seccomp == "unconfined":
        return None
    return seccomp.profile(config.security.seccomp, list(_capabilities(config, first_host_id)))


def _linux(plan: BundlePlan) -> dict[str, Any]:
    security = plan.config.security
    namespaces = [{"type": name} for name in ("pid", "ipc", "uts", "mount", "cgroup")]
    if plan.config.network.network != "host":
        namespaces.append({"type": "network"})
    linux: dict[str, Any] = {
        "namespaces": namespaces,
        "sysctl": dict(plan.config.sysctls),
        "rootfsPropagation": "private",
    }
    if plan.first_host_id:
        namespaces.append({"type": "user"})
        mapping = [{"containerID": 0, "hostID": plan.first_host_id, "size": SUBORDINATE_IDS}]
        linux["uidMappings"] = linux["gidMappings"] = mapping
    if not security.privileged:
        linux["maskedPaths"] = list(_MASKED)
        # An init configures its own network and kernel view; the user namespace keeps it to what is its own.
        linux["readonlyPaths"] = list(_READ_ONLY) if plan.config.kind == "app" else ["/proc/bus", "/proc/fs"]
    profile = seccomp_profile(plan.config, plan.first_host_id)
    if profile is not None:
        linux["seccomp"] = profile
    return linux


def mounts(plan: BundlePlan) -> list[dict[str, Any]]:
    """Return the mounts in the order in which they are made: kernel's file systems, limosa's files, the owner's."""
    network_own = plan.config.network.network != "host"
    system = plan.config.kind == "system"
    made = [
        _mount("proc", "/proc", "proc", ("nosuid", "noexec", "nodev")),
        _mount("tmpfs", "/dev", "tmpfs", ("nosuid", "noexec", "strictatime", "mode=755", "size=65536k")),
        _mount(
            "devpts", "/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")
        ),
        _mount("tmpfs", _SHM, "shm", ("nosuid", "noexec", "nodev", "mode=1777", f"size={plan.config.shm_size_bytes}")),
        _mount("mqueue", "/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ]
    sys_options = ("nosuid", "noexec", "nodev", *(() if system or plan.config.security.privileged else ("ro",)))
    if network_own:
        made.append(_mount("sysfs", "/sys", "sysfs", sys_options))
    else:  # sysfs belongs to the owner of the network namespace, which the container is not
        made.append(_mount("bind", SYSFS, dict(plan.mount_sources)[SYSFS], ("bind", "nosuid", "noexec", "nodev", "ro")))
    cgroup_options = ("nosuid", "noexec", "nodev", "relatime", *(() if system else ("ro",)))
    made.append(_mount("cgroup", "/sys/fs/cgroup", "cgroup", cgroup_options))
    if system:
        made += [
            _mount("tmpfs", "/run", "tmpfs", ("nosuid", "nodev", "mode=755")),
            _mount("tmpfs", "/run/lock", "tmpfs", ("nosuid", "nodev", "noexec", "mode=1777", "size=5120k")),
        ]
    made += [_mount("bind", path, source, ("bind", "ro", "nosuid", "nodev")) for source, path in plan.proc_view_files]
    for source, target in (
        (plan.hosts_file, "/etc/hosts"),
        (plan.resolv_conf, "/etc/resolv.conf"),
        (plan.generation_file, GENERATION_PATH),
        (plan.init_helper, INIT_HELPER_PATH),
    ):
        if source:
            options = ("bind", "nosuid", "nodev") + (("ro",) if target in (GENERATION_PATH, INIT_HELPER_PATH) else ())
            made.append(_mount("bind", target, source, options))
    made += [_mount("bind", path, source, ("bind", "nosuid", "noexec")) for path, source in plan.device_nodes]
    sources = dict(plan.mount_sources)
    made += [_owned(wanted, sources) for wanted in sorted(plan.config.mounts, key=lambda item: item.target.count("/"))]
    return made


def _owned(wanted: Mount, sources: dict[str, str]) -> dict[str, Any]:
    if wanted.kind == "tmpfs":
        return _mount("tmpfs", wanted.target, "tmpfs", ("nosuid", "nodev", *wanted.options))
    mode = ("rro",) if wanted.read_only else ("rw",)
    return _mount("bind", wanted.target, sources[wanted.target], ("rbind", "rprivate", "nodev", *mode))


def _capabilities(config: ContainerConfig, first_host_id: int) -> tuple[str, ...]:
    """Return what the first process may have: on the host's own ids, no more than limosa itself may."""
    wanted = capabilities.effective(config.kind, config.security)
    return wanted if first_host_id else capabilities.held(wanted, process.capability_bound())


def _host_flags(source: str) -> list[str]:
    """Return what holds for the mount that `source` is on, and therefore for every bind of it.

    crun could take a flag away, since it makes binds outside of the user namespace; criu, inside, cannot, and the
    restore would fail. Source: mount_namespaces(7), "Restrictions on mount namespaces".
    """
    flags = os.statvfs(source).f_flag
    names = [name for flag, name in _FLAGS if flags & flag]
    return names if flags & os.ST_NOATIME or not flags & os.ST_RELATIME else [*names, "relatime"]


def _mount(kind: str, target: str, source: str, options: tuple[str, ...]) -> dict[str, Any]:
    kept = _host_flags(source) if kind == "bind" else []
    return {"destination": target, "type": kind, "source": source, "options": list(dict.fromkeys([*options, *kept]))}
