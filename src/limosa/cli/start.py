"""limosa start"""

import sys

from limosa import wiring
from limosa.cli import arguments, each, terminal_options, values
from limosa.engine import lifecycle
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_FAILURE, EXIT_OK, EXIT_USAGE, LimosaError

EXAMPLES = """\
examples:
  limosa start web               also what `restore --no-start` left standing
  limosa start --wait box        a system container: until it has booted
  limosa start -ai shell         and join its terminal or its input and output
  limosa start --onboot          what the boot unit of `limosa setup` calls"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-a", "--attach", action="store_true", help="join its output, and end with its status")
    parser.add_argument("-i", "--interactive", action="store_true", help="join its input too")
    parser.add_argument(
        "--although-moved", action="store_true", help="also what `migrate --keep` left: if it is surely gone there"
    )
    parser.add_argument("--wait", action="store_true", help="until a system container has booted")
    parser.add_argument("--timeout", type=values.seconds, default=120.0, metavar="SECONDS", help="of --wait; 120")
    terminal_options.configure(parser)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--onboot", action="store_true", help="those that are to run after the machine's boot")
    which.add_argument("containers", nargs="*", default=[], metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    if args.wait and (args.onboot or args.attach or args.interactive):
        raise LimosaError(
            "LIM-CLI-003",
            "--wait says when containers have booted, which neither --onboot nor -a and -i ask for",
            hint="leave one of them out",
            exit_status=EXIT_USAGE,
        )
    host = wiring.host(wiring.root_of(args.root))
    if args.onboot:
        return _onboot(host)
    if args.attach or args.interactive:
        return _attached(host, args)

    def started(record: ContainerRecord) -> None:
        record = lifecycle.start(host, record.container_id, although_moved=args.although_moved)
        if args.wait:
            from limosa.engine import booting

            booting.wait_until_up(host, record, args.timeout)

    return each.container(host, args.containers, started)


def _attached(host: Host, args: arguments.Arguments) -> int:
    from limosa.engine import attached

    if len(args.containers) != 1:
        raise LimosaError(
            "LIM-CLI-003", "-a and -i join one container", hint="name one container", exit_status=EXIT_USAGE
        )
    record = host.containers.find(args.containers[0])
    stdin = args.interactive and record.config.stdin_open
    streams = terminal_options.streams(args, stdin=stdin, terminal=record.config.terminal)
    if record.held:
        record = lifecycle.start(host, record.container_id)
    if record.phase == "running":
        return attached.attach(host, record, streams)
    return attached.run(host, record, streams)


def _onboot(host: Host) -> int:
    from limosa.engine import restarting

    done = restarting.onboot(host)
    for name in done.started:
        print(name)
    for _, failed in done.failures:
        print(failed, file=sys.stderr)
    return EXIT_FAILURE if done.failures else EXIT_OK
