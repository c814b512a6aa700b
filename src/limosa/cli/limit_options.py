"""The options that `run`, `create` and `set` share: what a container may use, and when it is started again."""

from limosa.cli import arguments, values
from limosa.model.container import ContainerConfig

_LIMITS = {
    "memory": "memory_bytes",
    "swap": "swap_bytes",
    "cpus": "cpus",
    "cpu_weight": "cpu_weight",
    "cpuset": "cpuset",
    "pids": "pids",
    "io_weight": "io_weight",
    "disk": "disk_bytes",
}


def configure(parser: arguments.Parser) -> None:
    """Add the options. One that is not given is no attribute of the result."""
    add = parser.add_argument_group("limits and starts").add_argument
    no = arguments.SUPPRESS
    add("-m", "--memory", default=no, type=values.memory_bytes, metavar="SIZE", help="such as 512m, 2g, unlimited")
    add("--swap", default=no, type=values.bytes_or_unlimited, metavar="SIZE", help="on top of --memory, or unlimited")
    add("--cpus", default=no, type=values.cpus, metavar="N", help="so much of the processors' time, such as 1.5")
    add("--cpu-weight", default=no, type=values.weight, metavar="1..10000", help="share of busy processors; 100")
    add(
        *("--cpuset", "--cpuset-cpus"),
        default=no,
        type=values.cpuset,
        metavar="0-1,3",
        help="the processors it may run on; all",
    )
    add(
        "--pids",
        "--pids-limit",
        default=no,
        type=values.pids,
        metavar="N",
        help="processes and threads; 4096 unless set",
    )
    add("--io-weight", default=no, type=values.weight, metavar="1..10000", help="share of a busy disk; 100")
    add("--disk", default=no, type=values.size_bytes, metavar="SIZE", help="its own files take no more; 64m at least")
    add(
        "--restart",
        default=no,
        type=values.restart_policy,
        metavar="POLICY",
        help="no, always, unless-stopped, on-failure[:N]",
    )
    add("--onboot", default=no, action=arguments.YES_OR_NO, help="start it with the machine")


def any_given(args: arguments.Arguments) -> bool:
    """Say whether one of the options was given."""
    return not vars(args).keys().isdisjoint((*_LIMITS, "restart", "onboot"))


def given(args: arguments.Arguments, config: ContainerConfig) -> ContainerConfig:
    """Return `config` with what was given."""
    options = vars(args)
    limits = {field: options[name] for name, field in _LIMITS.items() if name in options}
    config = config._replace(limits=config.limits._replace(**limits))
    if "restart" in options:
        config = config._replace(restart=options["restart"])
    if "onboot" in options:
        config = config._replace(onboot=options["onboot"])
    return config
