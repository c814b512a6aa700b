"""limosa run"""

from contextlib import ExitStack

from limosa import wiring
from limosa.cli import arguments, container_options, terminal_options
from limosa.engine import attached
from limosa.model.errors import EXIT_USAGE, LimosaError

EXAMPLES = """\
examples:
  limosa run --rm debian echo hello
  limosa run --rm -it debian bash                 (ctrl-p ctrl-q lets go of it, limosa attach comes back)
  limosa run -d --name db -p 5432:5432 -m 1g -u postgres pg postgres -D /var/lib/postgresql/data"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-d", "--detach", action="store_true", help="print the id and leave it running")
    parser.add_argument("-i", "--interactive", action="store_true", help="keep standard input open")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("--rm", action="store_true", help="remove it when it has ended")
    parser.add_argument("--init", action="store_true", help="a minimal init as pid 1: reaps, and passes signals on")
    terminal_options.configure(parser)
    container_options.configure(parser)


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    streams = terminal_options.streams(args, stdin=args.interactive and not args.detach, terminal=args.tty)
    config = container_options.config(args)._replace(
        terminal=args.tty,
        init_helper=args.init,
        stdin_open=args.interactive,
        stdin_once=args.interactive and not args.detach,
        remove_when_stopped=args.rm,
    )
    if args.rm and config.restart.when != "no":
        raise LimosaError(
            "LIM-CLI-003",
            "--rm and --restart contradict each other",
            hint="leave one of them out",
            exit_status=EXIT_USAGE,
        )
    with ExitStack() as watch:
        record = container_options.create(host, args, config, watch, to_start=True)
        if args.detach:
            attached.start_new(host, record)
            print(record.container_id)
            return 0
        return attached.run(host, record, streams)
