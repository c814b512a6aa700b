"""limosa run"""

import argparse

from limosa import wiring
from limosa.cli import container_options, terminal_options
from limosa.engine import attached, lifecycle

EXAMPLES = """\
examples:
  limosa run --rm debian echo hello
  limosa run --rm -it debian bash                 (ctrl-p ctrl-q lets go of it, limosa attach comes back)
  limosa run -d --name db -p 5432:5432 -m 1g -u postgres pg postgres -D /var/lib/postgresql/data"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-d", "--detach", action="store_true", help="print the id and leave it running")
    parser.add_argument("-i", "--interactive", action="store_true", help="keep standard input open")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("--rm", action="store_true", help="remove it when it has ended")
    terminal_options.configure(parser)
    container_options.configure(parser)


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    streams = terminal_options.streams(args, stdin=args.interactive and not args.detach, terminal=args.tty)
    config = container_options.config(args)._replace(
        terminal=args.tty,
        stdin_open=args.interactive,
        stdin_once=args.interactive and not args.detach,
        remove_when_stopped=args.rm,
    )
    record = container_options.create(host, args, config)
    container_id = record.container_id
    if args.detach:
        lifecycle.start(host, container_id)
        print(container_id)
        return 0
    return attached.run(host, container_id, streams)
