"""Every trial of this machine, and what each is needed for."""

import os
from collections.abc import Callable, Mapping
from typing import Final

from limosa.adapters.probes import isolated
from limosa.linux import process
from limosa.ports.probes import MISSING, WORKS, Outcome, Subject

_SETUP: Final = "limosa setup"
_APT: Final = "apt-get install --yes "

SUBJECTS: Final = (
    Subject("user-namespace", "kernel", "a container's own ids", True, "sysctl user.max_user_namespaces=65536"),
    Subject("cgroups", "kernel", "limits, freezing, stats", True, "boot with systemd.unified_cgroup_hierarchy=1"),
    Subject("seccomp", "kernel", "the default seccomp profile", True, ""),
    Subject("pagemap-scan", "kernel", "commits that copy only written pages", False, "boot a kernel of 6.7 or later"),
    Subject("userfaultfd", "kernel", "lazy restore, tracking of written pages", False, ""),
    Subject("soft-dirty", "kernel", "CRIU's own pre-dump (PAGEMAP_SCAN serves where it is missing)", False, ""),
    Subject("written-pages", "kernel", "commits that copy only what was written since", False, f"{_APT}gcc libc6-dev"),
    Subject("overlay-idmapped", "storage", "layers shared by containers with different ids", True, "modprobe overlay"),
    Subject("btrfs-loop", "storage", "the containers' files, disk limits, snapshots", True, "modprobe btrfs loop"),
    Subject("nftables", "network", "published ports, NAT, CRIU's network lock", True, f"{_APT}nftables"),
    Subject("veth", "network", "a container's own address", True, "modprobe veth bridge"),
    Subject("criu", "tool", "checkpoint, restore, fork, migrate", True, _SETUP),
    Subject("crun", "tool", "every container", True, _SETUP),
    Subject("conmon", "tool", "logs, terminals and exit statuses", True, f"{_APT}conmon"),
    Subject("lxcfs", "tool", "a container's own view of /proc", False, f"{_APT}lxcfs"),
    Subject("skopeo", "tool", "pull and push", True, f"{_APT}skopeo"),
    Subject("buildah", "tool", "image build", False, f"{_APT}buildah"),
    Subject("mmdebstrap", "tool", "template build", False, f"{_APT}mmdebstrap"),
)
# Programs whose trial is a trial of their own start: the work they do for limosa needs a network or minutes.
_STARTED: Final = ("conmon", "skopeo", "buildah", "mmdebstrap")
_PROGRAMS: Final = {
    "lxcfs": "lxcfs",
    "nftables": "nft",
    "btrfs-loop": "mkfs.btrfs",
    "overlay-idmapped": "mkfs.btrfs",
    "veth": "ip",
}
# Raised when a trial comes to mean something else, so that outcomes from before are not believed.
_EDITION: Final = "2"


class SystemProbes:
    """ports.probes.Probes: each trial in a process and namespaces of its own, so that nothing of it can stay."""

    def __init__(self, tool_paths: Mapping[str, Callable[[], str | None]]) -> None:
        """`tool_paths` says where the selected criu and crun are; each is asked when it is tried."""
        self._tool_paths = tool_paths

    def subjects(self) -> tuple[Subject, ...]:
        """Return everything that can be tried, in the order of the table."""
        return SUBJECTS

    def fingerprint(self, subject: Subject) -> str:
        """Return a digest of kernel, privileges, cgroup layout and the program's file."""
        import hashlib

        kernel = os.uname()
        parts = [_EDITION, kernel.release, kernel.version, str(os.geteuid()), _capabilities(), _cgroup_layout()]
        path = self._path(subject.name)
        if path:
            try:
                with open(path, "rb") as file:
                    parts.append(hashlib.file_digest(file, "sha256").hexdigest())
            except OSError as gone:
                parts.append(str(gone))
        return hashlib.sha256("\n".join([*parts, path or "none"]).encode()).hexdigest()

    def attempt(self, subject: Subject) -> Outcome:
        """Try it."""
        if subject.name in _STARTED:
            return self._start(subject.name)
        if subject.name == "written-pages":  # without its library it is still worth a look what else there is
            return isolated.attempt(subject.name, (self._path(subject.name) or "",))
        if subject.name in self._tool_paths:
            path = self._path(subject.name)
            return self.attempt_tool(subject.name, path) if path else Outcome(MISSING, "none is selected")
        if subject.name in _PROGRAMS and not self._path(subject.name):
            return Outcome(MISSING, f"{_PROGRAMS[subject.name]} is not installed", mend=_SETUP)
        return isolated.attempt(subject.name, ())

    def attempt_tool(self, name: str, path: str) -> Outcome:
        """Try one executable of "criu" or "crun"."""
        return isolated.attempt("checkpoint" if name == "criu" else name, (path,))

    def _path(self, name: str) -> str | None:
        import shutil

        if name in self._tool_paths:
            return self._tool_paths[name]()
        program = _PROGRAMS.get(name) or (name if name in _STARTED else "")
        return shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") if program else None

    def _start(self, name: str) -> Outcome:
        path = self._path(name)
        if not path:
            return Outcome(MISSING, f"{name} is not installed", mend=_SETUP)
        finished = process.capture([path, "--version"], timeout_s=isolated.LIMIT_S)
        words = finished.stdout.decode(errors="replace").split()
        version = next((word for word in words if word[:1].isdigit()), "")
        if finished.status != 0 or not version:
            return Outcome(MISSING, finished.stderr.decode(errors="replace").strip() or "it does not start")
        return Outcome(WORKS, f"{path} starts", version)


def _capabilities() -> str:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        return next((line.split()[1] for line in file if line.startswith("CapEff")), "")


def _cgroup_layout() -> str:
    with open("/proc/self/mounts", encoding="utf-8", errors="replace") as file:
        return " ".join(sorted(line.split()[2] + ":" + line.split()[1] for line in file if " cgroup" in line))
