"""What two hosts have to agree about before a container moves, and what is found when they do not: pure."""

from typing import Final, Literal, NamedTuple

from limosa.model.container import ContainerConfig
from limosa.model.volume import CommittedVolume

# What a process may have in registers: without it there, criu cannot put them back.
_REGISTERS: Final = ("avx", "avx2", "avx512f", "amx_tile", "pku", "xsave", "xsaveopt", "xsavec", "xsaves", "fsrm")
_CLOCK_S: Final = 2.0
_MARGIN: Final = 1.1
Severity = Literal["stops", "warns"]


class Finding(NamedTuple):
    """One thing that stands in the way, or that is to be known."""

    severity: Severity
    what: str
    hint: str = ""
    live_only: bool = False  # it stops only a live move: `--fallback` leads around it


class Facts(NamedTuple):
    """A machine, and what it has that concerns one container."""

    host: str
    limosa: str
    kernel: str
    architecture: str
    cpu_flags: tuple[str, ...]
    cgroups: str  # "v2", "hybrid"
    free_memory_bytes: int
    free_disk_bytes: int
    clock_ns: int
    criu: str = ""  # its version
    networks: tuple[tuple[str, str, str], ...] = ()  # name, kind, IPv4 subnet
    container_is_there: bool = False
    name_is_taken: bool = False
    address_is_taken: bool = False
    ports_taken: tuple[str, ...] = ()
    volumes: tuple[tuple[str, str], ...] = ()  # name, and which other containers have it


class Load(NamedTuple):
    """What a container brings along."""

    memory_bytes: int
    disk_bytes: int
    volumes: tuple[CommittedVolume, ...] = ()


def findings(
    config: ContainerConfig, load: Load, here: Facts, there: Facts, *, name: str, keep_connections: bool
) -> list[Finding]:
    """Return everything that keeps a container from moving, or that its owner should know before, worst first."""
    found = [
        *_machines(here, there),
        *_room(load, there),
        *_claims(config, there, name),
        *_network(config, here, there, keep_connections),
        *_mounts(config, load.volumes, there),
    ]
    return sorted(found, key=lambda finding: finding.severity != "stops")


def _machines(here: Facts, there: Facts) -> list[Finding]:
    found = []
    if here.architecture != there.architecture:
        found.append(Finding("stops", f"{there.host} is {there.architecture}, this host {here.architecture}"))
    missing = [flag for flag in here.cpu_flags if flag not in set(there.cpu_flags)]
    hard = [flag for flag in missing if flag in _REGISTERS]
    if hard:
        words = f"the processor of {there.host} lacks {', '.join(hard)}, which programs may have in use"
        found.append(Finding("stops", words, "another host, or --fallback", live_only=True))
    elif missing:
        words = f"the processor of {there.host} lacks {', '.join(sorted(missing)[:8])}"
        found.append(Finding("warns", words, "a program that has found them at its start may end by SIGILL"))
    if here.limosa != there.limosa:
        found.append(Finding("warns", f"limosa is {there.limosa} there and {here.limosa} here"))
    if not there.criu:
        found.append(Finding("stops", f"{there.host} has no criu that works", "limosa setup, there", live_only=True))
    elif here.criu.split(".")[:2] > there.criu.split(".")[:2]:
        found.append(Finding("warns", f"criu is {there.criu} there and {here.criu} here: newer images, older reader"))
    if here.kernel != there.kernel:
        found.append(Finding("warns", f"the kernel is {there.kernel} there and {here.kernel} here"))
    if here.cgroups != there.cgroups:
        words = f"cgroups are {there.cgroups} there and {here.cgroups} here"
        found.append(Finding("warns", words, "an init that has groups of its own cannot be restored"))
    apart_s = abs(here.clock_ns - there.clock_ns) / 1e9
    if apart_s > _CLOCK_S:
        found.append(Finding("warns", f"the clocks are {apart_s:.0f} s apart", "chrony or systemd-timesyncd, on both"))
    return found


def _room(load: Load, there: Facts) -> list[Finding]:
    found = []
    for what, wanted, free in (
        ("memory", load.memory_bytes, there.free_memory_bytes),
        ("disk", load.disk_bytes + load.memory_bytes, there.free_disk_bytes),
    ):
        if wanted * _MARGIN > free:
            words = f"{there.host} has {free / 1e6:.0f} MB of {what} free, {wanted / 1e6:.0f} MB are needed"
            found.append(Finding("stops", words, "make room there"))
    return found


def _claims(config: ContainerConfig, there: Facts, name: str) -> list[Finding]:
    found = []
    if there.container_is_there:
        words = f"{there.host} has a container with the id of {config.name}"
        found.append(Finding("stops", words, "limosa rm there, if --keep left it"))
    elif there.name_is_taken:
        found.append(Finding("stops", f"the name {name!r} is in use at {there.host}", "--to-name"))
    if there.address_is_taken:
        words = f"its address is in use at {there.host}"
        found.append(Finding("stops", words, "--tcp close gives it another one"))
    for port in there.ports_taken:
        words = f"port {port} of {there.host} is in use"
        found.append(Finding("stops", words, "limosa set -p publishes it elsewhere"))
    return found


def _network(config: ContainerConfig, here: Facts, there: Facts, keep_connections: bool) -> list[Finding]:
    name = config.network.network
    if name == "host":
        way_out = "recreate it on a network of limosa, or --fallback"
        return [Finding("stops", "it is on the host's own network", way_out, live_only=True)]
    if name == "none":
        return []
    mine = {one[0]: one for one in here.networks}.get(name)
    theirs = {one[0]: one for one in there.networks}.get(name)
    if theirs is None or mine is None:
        return [Finding("stops", f"{there.host} has no network {name!r}", f"limosa network create {name}, there")]
    if not keep_connections:
        return []
    if mine[2] != theirs[2]:
        words = f"network {name!r} is {theirs[2] or 'without IPv4'} there and {mine[2] or 'without IPv4'} here"
        return [Finding("stops", words, "network create --uplink on both, or --tcp close: it gets another address")]
    if mine[1] == "bridge":
        words = f"network {name!r} is behind NAT: connections to and from elsewhere will break"
        return [Finding("warns", words, "network create --uplink on both hosts")]
    return []


def _mounts(config: ContainerConfig, volumes: tuple[CommittedVolume, ...], there: Facts) -> list[Finding]:
    found = []
    users = dict(there.volumes)
    for volume in volumes:
        if volume.policy == "reference":
            if volume.name not in users:
                words = f"{there.host} has no volume {volume.name!r}, which does not come along"
                found.append(Finding("stops", words, f"limosa volume create {volume.name}, there, and fill it"))
        elif volume.policy == "include" and users.get(volume.name):
            words = f"volume {volume.name!r} of {there.host} would be replaced, and {users[volume.name]} uses it"
            found.append(Finding("stops", words, "another name for it"))
        elif volume.name in users and volume.policy == "include":
            found.append(Finding("warns", f"volume {volume.name!r} of {there.host} is replaced by what comes along"))
        elif volume.policy == "exclude":
            what = "is taken as it is" if volume.name in users else "will be empty"
            found.append(Finding("warns", f"volume {volume.name!r} {what} there"))
    for mount in config.mounts:
        if mount.kind == "bind":
            found.append(Finding("stops", f"{mount.source}, a directory of this host, does not come along"))
    return found
