"""The options that `run` and `create` share, and what they mean."""

import argparse

from limosa.cli import values
from limosa.model.container import ContainerConfig, Limits, Mount, NetworkRequest, Security
from limosa.model.ids import checked_name


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("--name", default="", help="a name; one is made up otherwise")
    add("-e", "--env", action="append", default=[], type=values.variable, metavar="NAME[=VALUE]")
    add("-w", "--workdir", default="", metavar="DIR")
    add("-u", "--user", default="", metavar="USER[:GROUP]")
    add("--entrypoint", default="", metavar="COMMAND", help="replaces the image's own")
    add("-p", "--publish", action="append", default=[], type=values.port, metavar="[ADDRESS:]HOST:CONTAINER[/udp]")
    add("-v", "--volume", action="append", default=[], type=values.bind_mount, metavar="SRC:DST[:ro]")
    add("--tmpfs", action="append", default=[], metavar="DIR")
    add("--network", default="default", metavar="none|host|NAME")
    add("--ip", default="", metavar="ADDRESS", help="a fixed address")
    add("--mac", default="", metavar="MAC", help="a fixed MAC address")
    add("--hostname", default="", metavar="NAME")
    add("-m", "--memory", type=values.size_bytes, metavar="SIZE")
    add("--swap", type=values.size_bytes, metavar="SIZE", help="on top of --memory")
    add("--cpus", type=float, metavar="N")
    add("--cpu-weight", type=int, metavar="1..10000")
    add("--cpuset", default="", metavar="0-1,3")
    add("--pids", type=int, default=4096, metavar="N")
    add("--read-only", action="store_true", help="the root file system is read-only")
    add("--shm-size", type=values.size_bytes, default=64 << 20, metavar="SIZE")
    add("--sysctl", action="append", default=[], type=values.variable, metavar="NAME=VALUE")
    add("--privileged", action="store_true", help="no user namespace, every capability, no seccomp")
    add("--cap-add", action="append", default=[], metavar="CAP")
    add("--cap-drop", action="append", default=[], metavar="CAP")
    add("--stop-signal", default="SIGTERM", metavar="SIGNAL")
    add("--stop-timeout", type=int, default=10, metavar="SECONDS")
    add("oci_image", metavar="IMAGE")
    add("command", nargs=argparse.REMAINDER, metavar="COMMAND …")


def config(args: argparse.Namespace) -> ContainerConfig:
    """Return what the options ask for."""
    command = [part for index, part in enumerate(args.command) if not (index == 0 and part == "--")]
    mounts = [*args.volume, *(Mount("tmpfs", "", target) for target in args.tmpfs)]
    return ContainerConfig(
        name=checked_name(args.name) if args.name else "",
        oci_image=args.oci_image,
        args=tuple([args.entrypoint, *command] if args.entrypoint else command),
        env=tuple(args.env),
        cwd=args.workdir or "/",
        user=args.user,
        hostname=args.hostname,
        mounts=tuple(mounts),
        network=NetworkRequest(args.network, ipv4=args.ip, mac=args.mac),
        ports=tuple(args.publish),
        limits=Limits(
            memory_bytes=args.memory,
            swap_bytes=args.swap,
            cpus=args.cpus,
            cpu_weight=args.cpu_weight,
            cpuset=args.cpuset,
            pids=args.pids,
        ),
        security=Security(
            privileged=args.privileged,
            cap_add=tuple(args.cap_add),
            cap_drop=tuple(args.cap_drop),
            read_only_rootfs=args.read_only,
        ),
        sysctls=tuple(args.sysctl),
        shm_size_bytes=args.shm_size,
        stop_signal=args.stop_signal,
        stop_timeout_s=args.stop_timeout,
    )
