"""What makes a Debian tree a system container: packages, units that have nothing to do in one, and drop-ins.

Data only; `debian.py` puts it in place. Each entry has its reason.
"""

from typing import Final

PACKAGES: Final = (
    "systemd",
    "systemd-sysv",  # /sbin/init
    "dbus",  # systemctl and loginctl from inside
    "iproute2",
    "iputils-ping",
    "procps",
    "netbase",
    "ca-certificates",
    "less",
)

MASKED: Final = (
    # Mounts that a user namespace may not make, or that CRIU cannot dump.
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "proc-sys-fs-binfmt_misc.mount",
    # Devices, modules and sysctls belong to the host.
    "systemd-udevd.service",
    "systemd-udevd-control.socket",
    "systemd-udevd-kernel.socket",
    "systemd-udev-trigger.service",
    "systemd-modules-load.service",
    "systemd-sysctl.service",
    "systemd-random-seed.service",
    "systemd-hwdb-update.service",
    "systemd-pcrphase.service",
    "systemd-journald-audit.socket",
    "systemd-remount-fs.service",
    "systemd-firstboot.service",
    "systemd-timesyncd.service",
    # There is one console at most, and no virtual terminals.
    "getty@.service",
    "getty-static.service",
    "systemd-vconsole-setup.service",
)

_NO_NESTED_NAMESPACES: Final = "[Service]\nPrivateUsers=no\nProtectHostname=no\nPrivateIPC=no\n"

TEXTS: Final = {
    # Namespaces within the container's own that CRIU cannot dump.
    "etc/systemd/system/service.d/10-limosa.conf": _NO_NESTED_NAMESPACES,
    "etc/systemd/journald.conf.d/10-limosa.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=16M\nReadKMsg=no\n",
    "etc/fstab": "",
    "etc/hostname": "localhost\n",
}

SINCE_254: Final = {
    # A descriptor of /proc/pressure comes back from a restore spinning.
    "etc/systemd/system/service.d/10-limosa.conf": f"{_NO_NESTED_NAMESPACES}MemoryPressureWatch=off\n",
    "etc/systemd/system.conf.d/10-limosa.conf": "[Manager]\nDefaultMemoryPressureWatch=off\n",
}
ENV_SINCE_254: Final = (("MEMORY_PRESSURE_WATCH", "/dev/null"),)
