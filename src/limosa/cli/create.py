"""limosa create"""

from limosa import wiring
from limosa.cli import arguments, container_options
from limosa.model.errors import EXIT_USAGE, LimosaError

EXAMPLES = """\
examples:
  limosa create --name web -p 8080:80 nginx
  limosa create --init box debian:13        a system container that is called box and boots its own init"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-i", "--interactive", action="store_true", help="keep standard input open")
    parser.add_argument("--init", action="store_true", help="a system container; what follows are NAME IMAGE")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    container_options.configure(parser)


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.init:
        args.system = True
        if not args.name and args.command:
            if args.command[0].startswith("-"):
                raise LimosaError(
                    "LIM-CLI-003",
                    f"{args.command[0]} stands between the name and the image",
                    cause="options come before both: what follows an image is a command",
                    hint="limosa create --init [OPTION …] NAME IMAGE",
                    exit_status=EXIT_USAGE,
                )
            args.name, args.oci_image, args.command = args.oci_image, args.command[0], args.command[1:]
    config = container_options.config(args)._replace(stdin_open=args.interactive, terminal=args.tty)
    print(container_options.create(host, args, config).container_id)
    return 0
