"""Trials of programs that do their work in the trial's namespaces."""

import json
import os
import signal
import stat
import time
from typing import Final

from limosa.linux import mount, process
from limosa.ports.probes import DEGRADED, MISSING, WORKS, Outcome

_FIRST_ID: Final = 1 << 20
_BUSYBOX: Final = "/bin/busybox"
_MOUNTS: Final = (
    ("/proc", "proc", ("nosuid", "noexec", "nodev")),
    ("/dev", "tmpfs", ("nosuid", "noexec", "mode=755", "size=64k")),
    ("/dev/pts", "devpts", ("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5")),
    ("/dev/mqueue", "mqueue", ("nosuid", "noexec", "nodev")),
    ("/sys", "sysfs", ("nosuid", "noexec", "nodev", "ro")),
    ("/sys/fs/cgroup", "cgroup", ("nosuid", "noexec", "nodev", "relatime", "ro")),
)


def crun(program: str) -> Outcome:
    """Run a container with a user namespace and a pid namespace in cgroups made by somebody else; enter it; kill it."""
    words = process.run([program, "--version"]).decode().split()
    version = words[words.index("version") + 1]
    _bundle()
    base = [program, "--root", os.path.abspath("state"), "--cgroup-manager=disabled"]
    _hide_unified_hierarchy()
    reason = _run_detached([*base, "run", "--detach", "--bundle", "bundle", "limosap"])
    if reason:
        return Outcome(MISSING, reason, version)
    try:
        inside = process.capture([*base, "exec", "limosap", "/bin/busybox", "id", "-u"], timeout_s=10)
        state = json.loads(process.run([*base, "state", "limosap"]))
        with open(f"/proc/{state['pid']}/uid_map", encoding="ascii") as file:
            mapped = file.read().split()
    finally:
        process.capture([*base, "delete", "--force", "limosap"], timeout_s=10)
    if inside.stdout.strip() != b"0" or mapped != ["0", str(_FIRST_ID), "65536"]:
        return Outcome(MISSING, f"exec: {_last(inside)}; user namespace {mapped}", version)
    return Outcome(WORKS, "ran, entered and removed a container with a user namespace", version)


def lxcfs() -> Outcome:
    """Mount lxcfs and read a file of its /proc."""
    said = process.capture(["lxcfs", "--version"])
    version = (said.stdout or said.stderr).decode(errors="replace").strip().strip('"')
    if not os.path.exists("/dev/fuse"):
        return Outcome(MISSING, "/dev/fuse is not there", version)
    os.mkdir("view")
    log = os.open("lxcfs.log", os.O_WRONLY | os.O_CREAT, 0o600)
    argv = ["/usr/bin/env", "lxcfs", "-f", "-p", os.path.abspath("lxcfs.pid"), os.path.abspath("view")]
    server = process.spawn(argv, env={"PATH": os.environ.get("PATH", "/bin")}, files=[(log, 1), (log, 2)])
    try:
        deadline = time.monotonic() + 10
        while not os.path.exists("view/proc/meminfo"):
            if time.monotonic() > deadline or not process.alive(server, process.start_ticks(server)):
                with open("lxcfs.log", encoding="utf-8", errors="replace") as file:
                    return Outcome(
                        MISSING, f"no mount: {(file.read().strip().splitlines() or ['it said nothing'])[-1]}", version
                    )
            time.sleep(0.01)
        with open("view/proc/meminfo", encoding="ascii") as file:
            text = file.read()
    finally:
        os.kill(server, signal.SIGTERM)
        process.wait(server)
    if "MemTotal" not in text:
        return Outcome(DEGRADED, "mounted, but /proc/meminfo is empty", version)
    return Outcome(WORKS, "mounted lxcfs and read /proc/meminfo through it", version)


def _bundle() -> None:
    """Make a bundle whose only program is busybox, with the ids of its root file system mapped."""
    os.makedirs("bundle/rootfs/bin")
    for name in ("proc", "dev", "sys"):
        os.mkdir(f"bundle/rootfs/{name}")
    with open(_BUSYBOX, "rb") as source, open("bundle/rootfs/bin/busybox", "wb") as copy:
        copy.write(source.read())
    os.chmod("bundle/rootfs/bin/busybox", 0o755)
    for here, _, files in os.walk("bundle/rootfs"):
        for path in (here, *(f"{here}/{name}" for name in files)):
            os.chown(path, _FIRST_ID, _FIRST_ID)
    for path in (".", "bundle"):
        os.chmod(path, stat.S_IRWXU | stat.S_IXGRP | stat.S_IXOTH)
    ids = [{"containerID": 0, "hostID": _FIRST_ID, "size": 65536}]
    config = {
        "ociVersion": "1.0.0",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/busybox", "sleep", "30"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "hostname": "limosap",
        "mounts": [
            {"destination": place, "type": kind, "source": kind, "options": list(how)} for place, kind, how in _MOUNTS
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "user", "network", "cgroup")],
            "maskedPaths": ["/proc/kcore", "/sys/firmware"],
            "readonlyPaths": ["/proc/sys"],
            "seccomp": {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["io_uring_setup"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}],
            },
            "uidMappings": ids,
            "gidMappings": ids,
        },
    }
    with open("bundle/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)


def _run_detached(argv: list[str]) -> str:
    """Run `argv`, whose container keeps the standard streams, and return why it failed, or "".

    The streams are a pipe and a file of ours: a runtime changes the owner of what it is given, and must never be given
    a device of the host.
    """
    here, there = os.pipe()
    log = os.open("crun.log", os.O_WRONLY | os.O_CREAT, 0o600)
    status = process.wait(
        process.spawn(argv, env={"PATH": os.environ.get("PATH", "/bin")}, files=[(here, 0), (log, 1), (log, 2)])
    )
    for descriptor in (here, there, log):
        os.close(descriptor)
    if status == 0:
        return ""
    with open("crun.log", encoding="utf-8", errors="replace") as file:
        return (file.read().strip().splitlines() or [f"status {status}"])[-1]


def _hide_unified_hierarchy() -> None:
    """Unmount cgroup v2 in this trial's mount namespace where v1 holds the controllers: crun refuses the mixture."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    if any(fields[2] == "cgroup" for fields in mounts):
        for fields in mounts:
            if fields[2] == "cgroup2":
                mount.umount(fields[1])


def _last(finished: process.Finished) -> str:
    lines = (finished.stderr or finished.stdout).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"status {finished.status}"
