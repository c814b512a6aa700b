"""limosa attach"""

from limosa import wiring
from limosa.cli import arguments, terminal_options
from limosa.engine import attached
from limosa.ports.runtime import Streams

EXAMPLES = """\
examples:
  limosa attach web                               (ctrl-p ctrl-q lets go of a container with a terminal)
  limosa attach --no-stdin --sig-proxy=false web  (only look)"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("--no-stdin", action="store_true", help="pass no input on")
    terminal_options.configure(parser)
    parser.add_argument("container", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    stdin = not args.no_stdin and record.config.stdin_open
    streams: Streams = terminal_options.streams(args, stdin=stdin, terminal=record.config.terminal)
    return attached.attach(host, record, streams)
