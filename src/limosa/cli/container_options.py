"""The options that `run` and `create` share, and what they mean."""

import argparse
from contextlib import ExitStack

from limosa.cli import limit_options, values
from limosa.engine.host import Host
from limosa.model.container import ContainerConfig, ContainerRecord, Mount, NetworkRequest, Security
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.ids import checked_name


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--name", default="", help="a name; one is made up otherwise")
    add("-e", "--env", action="append", default=[], type=values.variable, metavar="NAME[=VALUE]")
    add("-w", "--workdir", default="", metavar="DIR")
    add("-u", "--user", default="", metavar="USER[:GROUP]")
    add("--entrypoint", metavar="COMMAND", help="replaces the image's own; '' for none")
    add("--pull", choices=("missing", "always", "never"), default="missing", help="bring the image (missing)")
    add("-p", "--publish", action="append", default=[], type=values.port, metavar="[ADDRESS:]HOST:CONTAINER[/udp]")
    add("-v", "--volume", action="append", default=[], type=values.mount, metavar="SRC:DST[:ro]")
    add("--tmpfs", action="append", default=[], type=values.tmpfs, metavar="DIR[:OPTIONS]")
    add("--network", default="default", metavar="none|host|NAME")
    add("--ip", default="", metavar="ADDRESS", help="a fixed address")
    add("--ip6", default="", metavar="ADDRESS", help="a fixed IPv6 address")
    add("--mac", default="", metavar="MAC", help="a fixed MAC address")
    add("--hostname", default="", metavar="NAME")
    add("--env-file", action="append", default=[], type=values.env_file, metavar="FILE", help="NAME=VALUE lines")
    add("-l", "--label", action="append", default=[], type=values.label, metavar="KEY[=VALUE]")
    add("--log-opt", action="append", default=[], type=values.log_option, metavar="max-size=SIZE")
    add("--ulimit", action="append", default=[], type=values.ulimit, metavar="NAME=SOFT[:HARD]")
    add("--device", action="append", default=[], type=values.device, metavar="tun|fuse|kvm")
    add("--hook", action="append", default=[], type=values.hook, metavar="EVENT=COMMAND", help="executed on the host")
    limit_options.configure(parser)
    add("--read-only", action="store_true", help="the root file system is read-only")
    add("--shm-size", type=values.size_bytes, default=64 << 20, metavar="SIZE")
    add("--sysctl", action="append", default=[], type=values.setting, metavar="NAME=VALUE")
    add("--privileged", action="store_true", help="no user namespace, every capability, no seccomp")
    add("--cap-add", action="append", default=[], metavar="CAP")
    add("--cap-drop", action="append", default=[], metavar="CAP")
    add("--seccomp", default="default", type=values.seccomp, metavar="default|unconfined|FILE")
    add("--security-opt", action="append", default=[], type=values.security_option, metavar="seccomp=…")
    add("--system", action="store_true", help="a system container: boot the image's own init")
    add("--stop-signal", default="", metavar="SIGNAL")
    add("--stop-timeout", type=int, metavar="SECONDS", help="10, for a system container 60")
    add("oci_image", metavar="IMAGE")
    add("command", nargs=argparse.REMAINDER, metavar="COMMAND …")


def config(args: argparse.Namespace) -> ContainerConfig:
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
    return limit_options.given(args, asked)


def create(
    host: Host, args: argparse.Namespace, config: ContainerConfig, watch: ExitStack | None = None
) -> ContainerRecord:
    """Make the container, of an image that is brought as `--pull` says. Raises: LimosaError."""
    from limosa.engine import lifecycle

    entrypoint = None if args.entrypoint is None else tuple(word for word in [args.entrypoint] if word)
    if args.pull == "always":
        _obtain(host, args)
    try:
        return lifecycle.create(host, config, entrypoint, watch)
    except LimosaError as missing:
        if missing.code != "LIM-IMG-001" or args.pull == "never":
            raise
    _obtain(host, args)
    return lifecycle.create(host, config, entrypoint, watch)


def _obtain(host: Host, args: argparse.Namespace) -> None:
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
