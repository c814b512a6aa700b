"""limosa set"""

from limosa import wiring
from limosa.cli import arguments, limit_options, values
from limosa.engine import settings
from limosa.model.container import ContainerConfig, PublishedPort
from limosa.model.errors import EXIT_USAGE, LimosaError

EXAMPLES = """\
examples:
  limosa set --memory 2g --cpus 1.5 web
  limosa set --disk 20g --pids unlimited db
  limosa set -p 8080:80 -p 8443:443 web     publish exactly these from now on
  limosa set -p none web
  limosa set --restart always --onboot web

Everything given holds at once, or nothing is changed; it holds for later starts too."""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    limit_options.configure(parser)
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        type=_port,
        metavar="[ADDRESS:]HOST:CONTAINER[/udp]|none",
        help="publish exactly these ports",
    )
    parser.add_argument("container", metavar="CONTAINER")


def _port(text: str) -> PublishedPort | None:
    return None if text == "none" else values.port(text)


def run(args: arguments.Arguments) -> int:
    """Run the verb."""

    def wanted(config: ContainerConfig) -> ContainerConfig:
        config = limit_options.given(args, config)
        if args.publish:
            config = config._replace(ports=tuple(port for port in args.publish if port is not None))
        return config

    if not args.publish and not limit_options.any_given(args):
        raise LimosaError(
            "LIM-CLI-003", "nothing is to be set", hint="limosa set --help lists what can be", exit_status=EXIT_USAGE
        )
    host = wiring.host(wiring.root_of(args.root))
    settings.change(host, host.containers.find(args.container).container_id, wanted)
    print(args.container)
    return 0
