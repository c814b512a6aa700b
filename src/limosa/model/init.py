"""The first process of a system container: which init it is, how it is told to end, and what it needs to feel at home.

Everything here is a pure rule; docs/adr/0011 says why each is so.
"""

from collections.abc import Iterable

from limosa.model.hints import Final, Literal
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple

Family = Literal["systemd", "sysvinit", "busybox", "openrc", "unknown"]

CANDIDATES: Final = (
    "/sbin/init",
    "/usr/lib/systemd/systemd",
    "/lib/systemd/systemd",
    "/bin/busybox",
    "/usr/bin/busybox",
)
"""Where an init is looked for, in this order."""

POWERED_OFF: Final = 130
REBOOTED: Final = 129
"""The first process's status after reboot(2) inside: the kernel ends it by SIGINT (halt) or SIGHUP (restart).

Source: reboot(2), "Behavior inside PID namespaces"."""


class Init(NamedTuple):
    """An init that was found in a root file system. It is told to power off by a signal or, without one, a command."""

    family: Family
    argv: tuple[str, ...]
    poweroff_signal: str
    poweroff_command: tuple[str, ...] = ()


class RunFile(NamedTuple):
    """A file below /run, put there before the init starts; with `link` it is a symbolic link and has no text."""

    path: str  # relative to /run
    text: str = ""
    link: str = ""


def recognized(path: str, resolved: str, program: bytes) -> Init:
    """Return what the program at `path` is, which is `resolved` behind its symbolic links and begins with `program`.

    A program that nobody knows is an init all the same; it gets SIGTERM, as any other program.
    """
    name = resolved.rsplit("/", 1)[-1]
    argv = (path,)
    if name == "systemd":
        return Init("systemd", argv, "SIGRTMIN+3")
    if name == "busybox" or b"BusyBox v" in program:
        # Called by another name than "init", busybox takes the applet from its first argument.
        return Init("busybox", argv if path.endswith("/init") else (path, "init"), "SIGUSR2")
    if name == "openrc-init":
        return Init("openrc", argv, "SIGTERM")
    if b"/run/initctl" in program or b"/dev/initctl" in program:
        # Its signals mean what /etc/inittab says, which for a container is nothing useful.
        return Init("sysvinit", argv, "", (path, "0"))
    return Init("unknown", argv, "SIGTERM")


_NO_RC: Final = """\
exec >/dev/null 2>&1
runlevel | grep ' [2-5]$' || exit 1
for name in /proc/[0-9]*/comm; do
    read -r program <"$name" && [ "$program" = rc ] && exit 1
done
exit 0"""


def booted_command(family: Family) -> tuple[str, ...]:
    """Return what says by its status 0 that an init has started what it starts by itself, () if nobody can tell.

    Source: systemctl(1), is-active; runlevel(8).
    """
    if family == "systemd":
        return ("/bin/sh", "-c", "systemctl --quiet is-active default.target >/dev/null 2>&1")
    if family == "sysvinit":
        return ("/bin/sh", "-c", _NO_RC)
    return ()


def environment(family: Family, container_id: ContainerId) -> tuple[tuple[str, str], ...]:
    """Return what the init finds in its environment beside what every container has."""
    if family != "systemd":
        return ()
    return (
        ("container_uuid", machine_uuid(container_id)),
        # systemd 257's watch on the kernel's pressure figures comes back from a restore as a busy loop.
        ("MEMORY_PRESSURE_WATCH", "/dev/null"),
    )


def machine_uuid(container_id: ContainerId) -> str:
    """Return the machine id of a container: its own id, made as long as a UUID.

    Source: machine-id(5), the container interface of systemd ("container_uuid").
    """
    text = f"{container_id}{container_id}"[:32]
    return "-".join((text[:8], text[8:12], f"4{text[13:16]}", f"8{text[17:20]}", text[20:]))


_MASKED_UNITS: Final = (
    # What belongs to the machine's own kernel and hardware.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-udev-settle.service",
    "systemd-modules-load.service",
    "systemd-binfmt.service",
    "proc-sys-fs-binfmt_misc.automount",
    "proc-sys-fs-binfmt_misc.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "sys-fs-fuse-connections.mount",
    "kmod-static-nodes.service",
    "systemd-journald-audit.socket",
    "systemd-pstore.service",
    "systemd-oomd.service",
    "systemd-hwdb-update.service",
    # What CRIU cannot dump.
    "dev-hugepages.mount",
    # limosa mounts the root file system.
    "systemd-remount-fs.service",
    # There are no virtual consoles.
    "getty@tty1.service",
)
_MASKED_WITHOUT_TERMINAL: Final = ("getty.target", "console-getty.service")

_SERVICES: Final = """\
# From limosa: nested user, UTS and IPC namespaces and pressure watches cannot be checkpointed.
[Service]
PrivateUsers=no
ProtectHostname=no
PrivateIPC=no
MemoryPressureWatch=off
"""
_SYSTEM_CONF: Final = """\
# From limosa: see service.d/zz-limosa.conf.
[Manager]
DefaultMemoryPressureWatch=off
"""
_JOURNALD_CONF: Final = """\
# From limosa: a container's journal stays small.
[Journal]
SystemMaxUse=64M
RuntimeMaxUse=16M
"""
_NETWORK: Final = """\
# From limosa: the host gives eth0 its addresses and routes.
[Match]
Name=eth0
[Link]
Unmanaged=yes
"""


def run_files(family: Family, *, terminal: bool) -> tuple[RunFile, ...]:
    """Return what /run has to hold before an init of `family` starts. What /etc says wins over it.

    With a terminal of its own the container asks who logs in there.

    Source: systemd.unit(5), systemd-system.conf(5): /etc, then /run, then /usr.
    """
    if family != "systemd":
        return ()
    masked = (*_MASKED_UNITS, *(() if terminal else _MASKED_WITHOUT_TERMINAL))
    return (
        *(RunFile(f"systemd/system/{unit}", link="/dev/null") for unit in masked),
        RunFile("systemd/system/service.d/zz-limosa.conf", _SERVICES),
        RunFile("systemd/system.conf.d/limosa.conf", _SYSTEM_CONF),
        RunFile("systemd/journald.conf.d/limosa.conf", _JOURNALD_CONF),
        RunFile("systemd/network/05-limosa.network", _NETWORK),
    )


def directories_of(files: Iterable[RunFile]) -> tuple[str, ...]:
    """Return the directories below /run that `files` need, each after the one above it."""
    found: dict[str, None] = {}
    for file in files:
        parts = file.path.split("/")[:-1]
        for count in range(1, len(parts) + 1):
            found["/".join(parts[:count])] = None
    return tuple(found)
