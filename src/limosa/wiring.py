"""The only place that names concrete adapters and reads the environment."""

import hashlib
import os
import sys
import time
from typing import Final

from limosa.adapters import btrfs_pool, cgroups, file_records, overlay_rootfs, rootfs_images
from limosa.adapters.bridge_network import BridgeNetworks
from limosa.adapters.criu import adapter as criu
from limosa.adapters.crun_runtime import adapter as crun
from limosa.engine.host import Host
from limosa.model.errors import LimosaError

DEFAULT_ROOT: Final = "/var/lib/limosa"
DEFAULT_RUN: Final = "/run/limosa"
_TOOLS: Final = "/var/lib/limosa/tools/current"
_PLACES: Final = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")


def root_of(option: str | None) -> str:
    """Return the root that `--root`, LIMOSA_ROOT or the default names, as an absolute path."""
    return os.path.abspath(option or os.environ.get("LIMOSA_ROOT") or DEFAULT_ROOT)


def run_directory(root: str) -> str:
    """Return where run-time files of a root are."""
    return DEFAULT_RUN if root == DEFAULT_ROOT else f"{root}/run"


def host(root: str) -> Host:
    """Return the host at `root`. Raises: LimosaError LIM-HOST-001: not root; LIM-HOST-002: a program is missing."""
    if os.geteuid() != 0:
        raise LimosaError(
            "LIM-HOST-001", "limosa needs root", cause="it makes mounts, cgroups and namespaces", hint="sudo limosa …"
        )
    run = run_directory(root)
    os.makedirs(root, mode=0o711, exist_ok=True)
    os.makedirs(run, mode=0o711, exist_ok=True)
    return Host(
        containers=file_records.FileContainerRecords(root),
        commits=file_records.FileCommitRecords(root),
        oci_images=rootfs_images.RootfsImages(root),
        storage=btrfs_pool.BtrfsPool(root),
        rootfs=overlay_rootfs.OverlayRootfs(run),
        cgroups=cgroups.open_cgroups(_tag(root), run),
        networks=BridgeNetworks(root, default_root=root == DEFAULT_ROOT),
        runtime=crun.CrunRuntime(
            run,
            root,
            crun=_program("crun"),
            conmon=_program("conmon"),
            exit_command=(sys.executable, "-m", "limosa", "--root", root, "internal-exited"),
            hidden_mount=cgroups.hidden_mount(),
        ),
        checkpointer=criu.Criu(_program("criu"), run),
        now_ns=time.time_ns,
        random_bytes=os.urandom,
    )


def _tag(root: str) -> str:
    """Return what tells this root's names on the machine from another's."""
    return "limosa" if root == DEFAULT_ROOT else f"limosa-{hashlib.sha256(root.encode()).hexdigest()[:8]}"


def _program(name: str) -> str:
    for place in (os.environ.get("LIMOSA_TOOLS", _TOOLS), *_PLACES):
        if os.access(f"{place}/{name}", os.X_OK):
            return f"{place}/{name}"
    raise LimosaError("LIM-HOST-002", f"{name} is not installed", hint="make setup, in a checkout", exit_status=1)
