"""Where the commands run: cgroups, and a Debian 13 tree with podman as the root of a mount namespace.

Everything is in the bench's own mount, network and process namespaces. The cgroups are removed at the end, and those
of a bench that was killed at the next start.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import subprocess

from limosa.linux import cgroupfs, mount

CACHE = os.environ.get("LIMOSA_BENCH_CACHE", "/var/cache/limosa-bench")
SUITE = "trixie"
PACKAGES = "podman,crun,conmon,netavark,aardvark-dns,nftables,iproute2,criu,libcriu2,iptables,borgbackup,restic"
_CLONE_NEWNS = 0x20000
_CLONE_NEWCGROUP = 0x02000000
_CPUSET = ("cpuset.cpus", "cpuset.mems")
_GROUP = "limosa-bench"
_DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}

# podman's own defaults, but for what this namespace has not got: journald, systemd, and the mounts of cgroup v2.
CONTAINERS_CONF = """[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "crun"
[containers]
log_driver = "k8s-file"
cgroupns = "private"
"""


def podman_tree() -> str:
    """Return the directory with Debian 13 and podman in it, made once per machine."""
    path = f"{CACHE}/podman-{SUITE}-{hashlib.sha256(PACKAGES.encode()).hexdigest()[:12]}"
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another bench may be making it
        if not os.path.isdir(path):
            print("making a Debian 13 tree with podman (once, about a minute)", flush=True)
            subprocess.run(["rm", "-rf", "--one-file-system", f"{path}.new"], check=True)
            command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=APT::Install-Recommends "false"']
            subprocess.run([*command, f"--include={PACKAGES}", SUITE, f"{path}.new"], check=True)
            os.rename(f"{path}.new", path)
    return path


def program_tar(directory: str, name: str, *directories: str) -> str:
    """Return a tar, made here, with a root file system: the program of bench/NAME.c, and `directories`."""
    tree = f"{directory}/rootfs"
    for part in ("bin", "etc", "tmp", "proc", "sys", "dev", "data", "run", *directories):
        os.makedirs(f"{tree}/{part}")
    source = f"{os.path.dirname(os.path.abspath(__file__))}/{name}.c"
    subprocess.run(["gcc", "-O2", "-static", "-o", f"{tree}/bin/{name}", source], check=True)
    subprocess.run(["tar", "--create", "--file", f"{directory}/rootfs.tar", "--directory", tree, "."], check=True)
    return f"{directory}/rootfs.tar"


class Groups:
    """A cgroup of its own per command in every hierarchy, below one of the bench.

    Only on v1, where both commands put their groups below the caller's: the CPU time of everything is counted there.
    """

    def __init__(self, name: str) -> None:
        """`name` starts with `limosa-bench` and tells this bench from another that runs at the same time."""
        mounted = cgroupfs.hierarchies()
        possible = any(not one.unified for one in mounted) and not os.path.isdir("/run/systemd/system")
        above = {one.name: one.directory(one.own_group) for one in mounted} if possible else {}
        for directory in above.values():  # a bench that was killed left these; one that runs keeps its own
            for left in (entry for entry in os.listdir(directory) if entry.startswith(_GROUP) and entry != name):
                _remove(f"{directory}/{left}")
        self._tops = {hierarchy: f"{directory}/{name}" for hierarchy, directory in above.items()}

    def make(self, names: tuple[str, ...]) -> None:
        """Make the groups."""
        for top in self._tops.values():
            for directory in (top, *(f"{top}/{name}" for name in names)):
                os.mkdir(directory)
                for file in _CPUSET:
                    if os.path.exists(f"{directory}/{file}"):
                        above = cgroupfs.read(f"{os.path.dirname(directory)}/{file}")
                        cgroupfs.write(f"{directory}/{file}", above.strip())

    def enter(self, name: str) -> None:
        """Move this process."""
        for top in self._tops.values():
            cgroupfs.write(f"{top}/{name}/cgroup.procs", "0")

    def file(self, name: str, controller: str, file: str) -> str:
        """Return the path of a command's file of a controller, or ""."""
        for hierarchy, top in self._tops.items():
            if controller in hierarchy.split(","):
                return f"{top}/{name}/{file}"
        return ""

    def remove(self) -> bool:
        """Remove all of them, with what a container left in there; say whether one is still there, and in use."""
        for top in self._tops.values():
            _remove(top)
        return any(os.path.isdir(top) for top in self._tops.values())


def _remove(top: str) -> None:
    for directory, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(directory)
        except OSError as busy:
            if busy.errno not in (errno.EBUSY, errno.ENOENT):
                raise


def enter_podman(tree: str, work: str, also: tuple[str, ...] = ()) -> None:
    """Make `tree` the root of this process, with storage of its own below `work`; the tree itself does not change.

    The directories `also` are where they are outside.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS | _CLONE_NEWCGROUP) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    controllers = [one.name for one in cgroupfs.hierarchies() if not one.unified]
    root = f"{work}/root"
    for name in ("root", "upper", "overlay-work", "storage"):
        os.makedirs(f"{work}/{name}", exist_ok=True)
    options = f"lowerdir={tree},upperdir={work}/upper,workdir={work}/overlay-work"
    mount.mount("overlay", root, "overlay", data=options)
    for kind in ("proc", "sysfs"):
        mount.mount(kind, f"{root}/{kind.removesuffix('fs')}", kind)
    for name in ("run", "tmp", "dev"):
        mount.mount("tmpfs", f"{root}/{name}", "tmpfs", data="mode=755" if name != "tmp" else "mode=1777")
    _devices(f"{root}/dev")
    _cgroups(f"{root}/sys/fs/cgroup", controllers)
    for name, source in (("var/lib/containers", f"{work}/storage"), ("mnt", work)):
        os.makedirs(f"{root}/{name}", exist_ok=True)
        mount.bind(source, f"{root}/{name}")
    for directory in also:
        os.makedirs(f"{root}{directory}", exist_ok=True)
        mount.bind(directory, f"{root}{directory}")
    os.makedirs(f"{root}/etc/containers", exist_ok=True)
    with open(f"{root}/etc/containers/containers.conf", "w", encoding="ascii") as file:
        file.write(CONTAINERS_CONF)
    os.chdir(root)
    os.makedirs("run/old", exist_ok=True)
    pivot_root = 155
    if libc.syscall(pivot_root, b".", b"run/old") != 0:
        raise OSError(ctypes.get_errno(), "pivot_root")
    mount.umount("/run/old", lazy=True)
    os.rmdir("/run/old")
    os.chdir("/")


def _devices(directory: str) -> None:
    for name, (major, minor) in _DEVICES.items():
        os.mknod(f"{directory}/{name}", 0o20666, os.makedev(major, minor))
        os.chmod(f"{directory}/{name}", 0o666)
    for name, kind, data in (
        ("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"),
        ("shm", "tmpfs", ""),
        ("mqueue", "mqueue", ""),
    ):
        os.mkdir(f"{directory}/{name}")
        mount.mount(kind, f"{directory}/{name}", kind, data=data)
    os.symlink("pts/ptmx", f"{directory}/ptmx")
    os.symlink("/proc/self/fd", f"{directory}/fd")


def _cgroups(directory: str, controllers: list[str]) -> None:
    """Mount the controllers as they are outside; crun refuses a v2 hierarchy that has controllers beside v1."""
    if not controllers:
        mount.mount("cgroup2", directory, "cgroup2")
        return
    mount.mount("tmpfs", directory, "tmpfs", data="mode=755")
    for name in controllers:
        place = f"{directory}/{name.removeprefix('name=')}"
        os.mkdir(place)
        mount.mount("cgroup", place, "cgroup", data=f"none,{name}" if name.startswith("name=") else name)
