"""What a container is: what its owner asked for (`ContainerConfig`) and how things stand (`ContainerRecord`).

All values are NamedTuples (docs/adr/0002): immutable, cheap to import, and turned into JSON by
`limosa.model.codec`.  Sizes are bytes, times are nanoseconds since the epoch, unless the name says otherwise.
"""

from limosa.model.hints import Final, Literal
from limosa.model.ids import ContainerId, Digest
from limosa.model.value import NamedTuple
from limosa.model.volume import Policy

SUBORDINATE_IDS: Final = 65536
"""Ids of one container's user namespace: inside 0..65535, outside `ContainerRecord.first_host_id` and up."""

FIRST_HOST_ID: Final = 1 << 29
"""The least id of the host that a container's ids become: above what adduser and systemd hand out by themselves."""

Kind = Literal["app", "system"]
Protocol = Literal["tcp", "udp"]
Phase = Literal[
    "creating",
    "created",
    "starting",
    "running",
    "paused",
    "restarting",
    "stopping",
    "stopped",
    "removing",
    "migrating",
]
"""`creating`, `starting`, `stopping` and `removing` belong to a command at work, which holds the container's lock: when
that command is dead, `limosa recover` (or the next command that needs the container) finishes or undoes them.
`restarting` belongs to the record's `keeper`, which waits for the next start and holds no lock (docs/adr/0008).
`migrating` belongs to an entry of the migrations' journal, which says who may run it (docs/adr/0026): nothing else
touches the container."""


class Limits(NamedTuple):
    """Resource limits; None (or an empty string) is "no limit of its own"."""

    memory_bytes: int | None = None
    swap_bytes: int | None = None  # on top of memory_bytes
    cpus: float | None = None  # 1.5 is one and a half processors' time
    cpu_weight: int | None = None  # cgroup v2 cpu.weight, 1..10000
    cpuset: str = ""  # "0-1,3"
    pids: int | None = 4096
    io_weight: int | None = None  # cgroup v2 io.weight, 1..10000
    disk_bytes: int | None = None


class PublishedPort(NamedTuple):
    """`-p HOST_ADDRESS:HOST_PORT:CONTAINER_PORT/PROTOCOL`."""

    host_port: int
    container_port: int
    protocol: Protocol = "tcp"
    host_address: str = ""  # empty: every address of the host


class Mount(NamedTuple):
    """A bind mount, a named volume or a tmpfs of one container."""

    kind: Literal["bind", "volume", "tmpfs"]
    source: str  # host path, volume name, or empty; of a volume: empty until `create` gives it a name
    target: str  # absolute path inside
    read_only: bool = False
    options: tuple[str, ...] = ()
    policy: Policy | None = None  # what a commit does with a volume; None: what the volume says


ImageVolumes = Literal["own", "anonymous", "tmpfs"]
"""What the directories become that an image declares as volumes: files of the container's own, as all others, and so in
its commits (docs/adr/0017), a volume each, or a tmpfs each."""


class CopyRequest(NamedTuple):
    """What a copy gets that its original does not have."""

    name: str = ""  # empty: one is made up
    ports: tuple[PublishedPort, ...] = ()
    share: bool = False  # it may write to the very volumes and directories that its original writes to
    fleeting: bool = False  # its volumes go with it
    hook: tuple[str, ...] = ()  # executed inside before its processes go on


HOOK_EVENTS: Final = ("prestart", "poststart", "prestop", "poststop")
"""When a command of `--hook EVENT=COMMAND` is executed, on the host."""


class RestartPolicy(NamedTuple):
    """`--restart no|always|unless-stopped|on-failure[:N]`."""

    when: Literal["no", "always", "unless-stopped", "on-failure"] = "no"
    max_retries: int | None = None


class Security(NamedTuple):
    """What separates a container from the host. The defaults are the safe ones."""

    privileged: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    seccomp: str = "default"  # "default", "unconfined" or a profile's path
    read_only_rootfs: bool = False


NO_NETWORK: Final = ("none", "host")
"""Names that a `NetworkRequest` may have and that are no networks: only a loopback, and the host's own namespace."""


class NetworkRequest(NamedTuple):
    """Where a container is attached: `none`, `host`, or a network of limosa with optional fixed addresses."""

    network: str = "default"
    ipv4: str = ""
    ipv6: str = ""
    mac: str = ""

    @property
    def own(self) -> bool:
        """Say whether it is a network of limosa."""
        return self.network not in NO_NETWORK


class ContainerConfig(NamedTuple):
    """What the owner asked for. Nothing here changes by itself; `limosa set` and `rename` replace it."""

    name: str
    oci_image: str  # the reference as typed
    kind: Kind = "app"
    args: tuple[str, ...] = ()  # the whole command line, entrypoint first
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""  # "uid[:gid]" or names from the container's own /etc/passwd
    hostname: str = ""
    terminal: bool = False
    stdin_open: bool = False
    stdin_once: bool = False  # standard input ends when the first person attached to it leaves or ends theirs
    remove_when_stopped: bool = False
    init_helper: bool = False  # `--init` of run: a minimal init as pid 1 that reaps
    mounts: tuple[Mount, ...] = ()
    network: NetworkRequest = NetworkRequest()
    ports: tuple[PublishedPort, ...] = ()
    limits: Limits = Limits()
    security: Security = Security()
    restart: RestartPolicy = RestartPolicy()
    onboot: bool = False
    ulimits: tuple[tuple[str, int, int], ...] = ()  # name, soft, hard
    sysctls: tuple[tuple[str, str], ...] = ()
    shm_size_bytes: int = 64 << 20
    log_max_bytes: int | None = None  # the log begins anew when it has become so large
    labels: tuple[tuple[str, str], ...] = ()
    devices: tuple[str, ...] = ()  # "tun", "fuse", …: names from model.devices
    hooks: tuple[tuple[str, str], ...] = ()  # event, command
    stop_signal: str = ""  # empty: SIGTERM, or what a system container's init takes for "power off"
    stop_timeout_s: int | None = None  # None: what the kind needs
    image_volumes: ImageVolumes = "own"


class Addresses(NamedTuple):
    """What the network gave a container; kept for its whole life."""

    ipv4: str = ""  # "10.88.0.5/16"
    ipv6: str = ""
    mac: str = ""


class ExitState(NamedTuple):
    """How the first process ended."""

    status: int  # 0..255; 128 + signal number if a signal ended it
    finished_ns: int
    oom_killed: bool = False
    reboot: bool = False  # it asked for a reboot and is started again


class ProcessName(NamedTuple):
    """One process for good, though its pid may be used again. A pid of 0 is no process."""

    pid: int = 0  # in the host's pid namespace
    start_ticks: int = 0  # /proc/PID/stat field 22


class Schedule(NamedTuple):
    """How often a container is committed by itself, and which of these commits are kept."""

    every_s: int
    keep: str  # as model.retention parses it


class ContainerRecord(NamedTuple):
    """How things stand with one container: everything that has to be known after a crash."""

    container_id: ContainerId
    config: ContainerConfig
    phase: Phase
    created_ns: int
    first_host_id: int  # 0: no user namespace of its own (privileged)
    layers: tuple[Digest, ...] = ()  # unpacked OCI layers, lowest first
    addresses: Addresses = Addresses()
    inner_addresses: Addresses = Addresses()  # of a copy: those of what it was copied from, which it goes on using
    init_pid: int = 0  # in the host's pid namespace; 0 when nothing runs
    init_start_ticks: int = 0  # /proc/PID/stat field 22, tells a reused pid from the real one
    monitor_pid: int = 0
    device_number: int = 0  # on which its processes see its files (`st_dev`), since they were started
    started_ns: int = 0
    exit: ExitState | None = None
    restarts: int = 0  # automatic ones since the user started it
    stopped_by_user: bool = False
    boot_id: str = ""  # of the machine's boot in which `init_pid` was started
    keeper: ProcessName = ProcessName()  # waits to start it again, while `restarting`
    restart_delay_ns: int = 0  # the last pause before a restart
    restart_at_ns: int = 0  # when the next start is due, while `restarting`
    volumes_go: bool = False  # its anonymous volumes are removed with it
    held: bool = False  # `paused` since it was restored with --no-start: none of its processes has run yet
    schedule: Schedule | None = None
    moved_to: str = ""  # the host that it was moved to; what is here was kept, and may not run beside it
    warm_of: str = ""  # the commit that it is a copy of, made ahead: `paused` until a fork takes it
    hook_failure: str = ""  # what the last hook that failed said; a failed prestart is an error instead
