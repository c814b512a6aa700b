"""The options that `run` and `create` share, and what they mean."""

import sys
from contextlib import ExitStack

from limosa.cli import arguments, limit_options, place_values, values
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord, Mount, NetworkRequest, Security
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Any
from limosa.model.ids import checked_name


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    add = parser.add_argument
    many: dict[str, Any] = {"action": "append", "default": []}
    add("--name", default="", help="a name; one is made up otherwise")
    add(
        *("-e", "--env"),
        **many,
        type=values.variable,
        metavar="NAME[=VALUE]",
        help="a variable; NAME alone: as it is here",
    )
    add("-w", "--workdir", default="", type=place_values.directory, metavar="DIR", help="where the program starts")
    add("-u", "--user", default="", metavar="USER[:GROUP]", help="whose program it is, by name or number")
    add("--entrypoint", metavar="COMMAND", help="replaces the image's own; '' for none")
    add("--pull", choices=("missing", "always", "never"), default="missing", help="when to pull IMAGE (missing)")
    publish = "[ADDRESS:]HOST:CONTAINER[/udp]"
    add(
        "-p", "--publish", **many, type=values.port, metavar=publish, help="a port of the host that leads to one inside"
    )
    bind = "a directory or file of the host, or a volume by its name; DST alone: one that goes with rm -v"
    add("-v", "--volume", **many, type=values.mount, metavar="[SRC:]DST[:ro,commit=…]", help=bind)
    declared = "what a VOLUME of the image becomes: the container's own files (own), a volume, memory"
    add("--image-volume", choices=("own", "ignore", "anonymous", "tmpfs"), default="own", help=declared)
    memory = "a file system in memory: size=64m,mode=1777,…"
    add("--tmpfs", **many, type=values.tmpfs, metavar="DIR[:OPTIONS]", help=memory)
    network = "no network, the host's own, or one of `network create`"
    add("--network", "--net", default="default", metavar="none|host|NAME", help=network)
    add("--ip", default="", metavar="ADDRESS", help="a fixed address")
    add("--ip6", default="", metavar="ADDRESS", help="a fixed IPv6 address")
    add("--mac", "--mac-address", default="", metavar="MAC", help="a fixed MAC address")
    add(
        "--hostname",
        default="",
        type=place_values.hostname,
        metavar="NAME",
        help="the container's own name, if it is not to be --name",
    )
    add("--env-file", **many, type=values.env_file, metavar="FILE", help="NAME=VALUE lines")
    add("-l", "--label", **many, type=values.label, metavar="KEY[=VALUE]", help="for `ps --filter label=`")
    add("--log-opt", **many, type=values.log_option, metavar="max-size=SIZE", help="how much `logs` keeps")
    add("--ulimit", **many, type=values.ulimit, metavar="NAME=SOFT[:HARD]", help="such as nofile=1024:4096")
    add("--device", **many, type=values.device, metavar="tun|fuse|kvm", help="a device node to work with")
    hook = "prestart, poststart, prestop, poststop: executed on the host"
    add("--hook", **many, type=values.hook, metavar="EVENT=COMMAND", help=hook)
    limit_options.configure(parser)
    _configure_isolation(parser)
    add("--system", action="store_true", help="a system container: boot the image's own init")
    add(
        "--stop-signal",
        default="",
        type=place_values.signal,
        metavar="SIGNAL",
        help="what `stop` sends first; the image's, or TERM",
    )
    patience = "before `stop` kills; 10, for a system container 60"
    add("--stop-timeout", type=place_values.whole_seconds, metavar="SECONDS", help=patience)
    add("oci_image", metavar="IMAGE")
    add("command", nargs=arguments.REMAINDER, metavar="COMMAND …")


def _configure_isolation(parser: arguments.Parser) -> None:
    add = parser.add_argument
    many: dict[str, Any] = {"action": "append", "default": []}
    add("--read-only", action="store_true", help="the root file system is read-only")
    add("--shm-size", type=place_values.some_bytes, default=64 << 20, metavar="SIZE", help="of /dev/shm; 64m")
    add("--sysctl", **many, type=values.setting, metavar="NAME=VALUE", help="such as net.core.somaxconn=1024")
    add("--privileged", action="store_true", help="no user namespace, every capability, no seccomp")
    add("--cap-add", **many, metavar="CAP", help="a capability more, such as NET_ADMIN; ALL")
    add("--cap-drop", **many, metavar="CAP", help="a capability less; ALL")
    add("--seccomp", default="default", type=values.seccomp, metavar="default|unconfined|FILE", help="system calls")
    add("--security-opt", **many, type=values.security_option, metavar="seccomp=…", help="the same, as docker says it")


def config(args: arguments.Arguments) -> ContainerConfig:
    """Return what the options ask for."""
    command = [part for index, part in enumerate(args.command) if not (index == 0 and part == "--")]
    profiles = [profile for profile in args.security_opt if profile]
    asked = ContainerConfig(
        name=checked_name(args.name) if args.name else "",
        oci_image=args.oci_image,
        args=tuple(command),
        env=tuple({**dict(pair for file in args.env_file for pair in file), **dict(args.env)}.items()),
        cwd=args.workdir or "/",
        user=args.user,
        hostname=args.hostname,
        mounts=_mounts([*args.volume, *args.tmpfs]),
        image_volumes="own" if args.image_volume == "ignore" else args.image_volume,
        network=NetworkRequest(args.network, ipv4=args.ip, ipv6=args.ip6, mac=args.mac),
        ports=tuple(args.publish),
        security=Security(
            privileged=args.privileged,
            cap_add=tuple(args.cap_add),
            cap_drop=tuple(args.cap_drop),
            seccomp=profiles[-1] if profiles else args.seccomp,
            read_only_rootfs=args.read_only,
        ),
        ulimits=tuple({name: (name, soft, hard) for name, soft, hard in args.ulimit}.values()),
        labels=tuple(dict(args.label).items()),
        devices=tuple(dict.fromkeys(args.device)),
        hooks=tuple(args.hook),
        sysctls=tuple(args.sysctl),
        shm_size_bytes=args.shm_size,
        log_max_bytes=args.log_opt[-1] if args.log_opt else None,
        stop_signal=args.stop_signal,
        stop_timeout_s=args.stop_timeout,
        kind="system" if args.system else "app",
    )
    if (args.ip or args.ip6 or args.mac) and not asked.network.own:
        raise LimosaError(
            "LIM-CLI-003",
            f"--ip, --ip6 and --mac mean nothing with --network {args.network}",
            hint="leave one of them out",
            exit_status=EXIT_USAGE,
        )
    if args.publish and not asked.network.own:
        told = "is the host's own" if args.network == "host" else "is none"
        print(f"limosa: -p has no effect: the container's network {told}", file=sys.stderr)
    return limit_options.given(args, asked)


def create(
    host: Host,
    args: arguments.Arguments,
    config: ContainerConfig,
    watch: ExitStack | None = None,
    *,
    to_start: bool = False,
) -> ContainerRecord:
    """Make the container, of an image that is brought as `--pull` says. Raises: LimosaError."""
    from limosa.engine import creation

    entrypoint = None if args.entrypoint is None else tuple(word for word in [args.entrypoint] if word)
    if args.pull == "always":
        _obtain(host, args)
    try:
        return creation.create(host, config, entrypoint, watch, to_start=to_start)
    except LimosaError as missing:
        if missing.code != "LIM-IMG-001" or args.pull == "never":
            raise
    _obtain(host, args)
    return creation.create(host, config, entrypoint, watch, to_start=to_start)


def _obtain(host: Host, args: arguments.Arguments) -> None:
    from limosa.cli.progress import ProgressLine
    from limosa.engine import images

    with ProgressLine() as line:
        images.obtain(host, args.oci_image, args.pull, line.update)


def _mounts(wanted: list[Mount]) -> tuple[Mount, ...]:
    """Return the mounts. Raises: LimosaError LIM-CLI-003: two of them are to be at one place."""
    by_place = {mount.target.rstrip("/"): mount for mount in wanted}
    if len(by_place) != len(wanted):
        place = next(mount.target for mount in wanted if by_place[mount.target.rstrip("/")] is not mount)
        raise LimosaError(
            "LIM-CLI-003", f"two mounts at {place}", hint="leave one of -v and --tmpfs out", exit_status=EXIT_USAGE
        )
    return tuple(wanted)
