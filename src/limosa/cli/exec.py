"""limosa exec"""

from limosa import wiring
from limosa.cli import arguments, place_values, terminal_options, values
from limosa.engine import sessions

EXAMPLES = """\
examples:
  limosa exec web cat /etc/hostname
  limosa exec -it -u root web sh
  limosa exec -d -e LEVEL=2 -w /srv web ./rebuild
  tar c . | limosa exec -i web tar x -C /srv"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-d", "--detach", action="store_true", help="leave it running; what it prints is lost")
    parser.add_argument("-i", "--interactive", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-e", "--env", action="append", default=[], type=values.variable, metavar="NAME[=VALUE]")
    parser.add_argument(
        "--env-file", action="append", default=[], type=values.env_file, metavar="FILE", help="NAME=VALUE lines"
    )
    start = "where the program starts"
    parser.add_argument("-w", "--workdir", default="", type=place_values.directory, metavar="DIR", help=start)
    parser.add_argument("-u", "--user", default=None, metavar="USER[:GROUP]", help="whose program it is")
    parser.add_argument("--privileged", action="store_true", help="every capability over the container")
    terminal_options.configure(parser)
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("command", nargs=arguments.REMAINDER, metavar="COMMAND …")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    env = [pair for file in args.env_file for pair in file] + args.env
    wanted = sessions.Wanted(
        command=tuple(command),
        env=tuple(env),
        cwd=args.workdir,
        user=args.user,
        privileged=args.privileged,
        streams=terminal_options.streams(args, stdin=args.interactive and not args.detach, terminal=args.tty),
    )
    if args.detach:
        sessions.execute_detached(host, record, wanted)
        return 0
    return sessions.execute(host, record, wanted)
