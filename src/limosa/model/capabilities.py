"""Which capabilities a container has inside its user namespace."""

from limosa.model.container import Kind, Security
from limosa.model.errors import LimosaError
from limosa.model.hints import Final

APP: Final = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
)
"""docker's default set: what programs made for containers expect."""

_SYSTEM_EXTRA: Final = (
    "CAP_AUDIT_CONTROL",
    "CAP_BLOCK_SUSPEND",
    "CAP_DAC_READ_SEARCH",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_ADMIN",
    "CAP_NET_BROADCAST",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TTY_CONFIG",
)
SYSTEM: Final = tuple(sorted((*APP, *_SYSTEM_EXTRA)))
"""What an init needs to mount, to make namespaces and to set up its network; all of it only over what the
container's own user namespace owns. Never: modules, raw I/O, the clock, the kernel's log, MAC policy, BPF."""

_NEVER_BY_DEFAULT: Final = (
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_MODULE",
    "CAP_SYS_PACCT",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_WAKE_ALARM",
    "CAP_AUDIT_READ",
)
ALL: Final = tuple(sorted((*SYSTEM, *_NEVER_BY_DEFAULT)))


BY_NUMBER: Final = tuple(
    f"CAP_{name}"
    for name in [
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
    ]
)
"""The kernel's order, from 0. Source: linux/capability.h."""


def held(names: tuple[str, ...], mask: int) -> tuple[str, ...]:
    """Return those of `names` that are in a mask of /proc/PID/status."""
    return tuple(name for name in names if mask >> BY_NUMBER.index(name) & 1)


def effective(kind: Kind, security: Security) -> tuple[str, ...]:
    """Return the capabilities, sorted, after --privileged, --cap-drop and --cap-add (add wins, as in docker).

    Raises: LimosaError LIM-SEC-002 (status 2): no capability of that name.
    """
    base = set(ALL if security.privileged else SYSTEM if kind == "system" else APP)
    for name in _full(security.cap_drop):
        if name == "ALL":
            base.clear()
        base.discard(name)
    for name in _full(security.cap_add):
        base.update(ALL if name == "ALL" else (name,))
    return tuple(sorted(base))


def _full(names: tuple[str, ...]) -> list[str]:
    found = []
    for name in names:
        upper = name.upper()
        full = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
        if full != "ALL" and full not in ALL:
            raise LimosaError(
                "LIM-SEC-002",
                f"there is no capability {name!r}",
                cause="it is none of those that this kernel interface names",
                hint="capabilities(7) lists them; ALL is every one",
                exit_status=2,
            )
        found.append(full)
    return found
