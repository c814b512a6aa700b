"""limosa fork"""

from limosa import wiring
from limosa.cli import arguments, lazy_option, values
from limosa.engine import copies
from limosa.engine.host import Host
from limosa.model.container import CopyRequest, PublishedPort
from limosa.model.errors import EXIT_USAGE, LimosaError

EXAMPLES = """\
examples:
  limosa fork db                    a copy of a running container, as it is now
  limosa fork -n 3 5f2c9a
  limosa fork --name trial good
  limosa fork -n 3 -p 8081-8083:80 web          each publishes the next port
  limosa fork --warm 5 good                     five that stand still, for the next forks of good
  limosa fork -n 3 --on spare db                copies that run on another host
  limosa fork --hook "sh -c 'rm -f /etc/ssh/ssh_host_*; ssh-keygen -A'" box
A running container is committed first, and goes on. The name of one that does not run means its latest commit, which
has nothing of what came later. One that is paused is refused: unpause it, or name a commit.

The hook has LIMOSA_NAME, LIMOSA_ID, LIMOSA_COMMIT and LIMOSA_COPY_OF in its environment, and is executed as the copy's
root while every other process of the copy stands still; if it fails, there is no copy.

A fork that asks for no ports, hook or shared volumes takes a warm copy of the commit where there is one, which is a
matter of milliseconds. limosa pool lists and removes them; with --warm the commit's id is printed.

--on HOST sends the commit and its image to another host, as limosa push does, and the copies run there. Ports, hook,
shared volumes and directories are those of that host."""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-n", "--number", type=values.count, default=1, metavar="N", help="how many copies")
    parser.add_argument("--name", default="", metavar="PATTERN", help="their name; -1, -2, … is added for several")
    parser.add_argument(
        "-p",
        "--publish",
        action="append",
        default=[],
        type=values.port_range,
        metavar="[ADDRESS:]HOST[-LAST]:CONTAINER[/udp]",
        help="publish a port of the copy; the original's stay with it",
    )
    parser.add_argument(
        "--share-volumes",
        action="store_true",
        help="it may write to volumes and directories that its original writes to",
    )
    parser.add_argument("--hook", default="", metavar="COMMAND", help="execute it inside before the copy goes on")
    parser.add_argument(
        "--warm", type=values.count, metavar="N", help="make N copies ahead, which stand still until a fork takes them"
    )
    lazy_option.add(parser)
    parser.add_argument("--on", default="", metavar="HOST", help="they run on another host")
    parser.add_argument("--ssh-option", action="append", default=[], metavar="OPTION", help="for --on: ssh -o OPTION")
    parser.add_argument("source", metavar="CONTAINER|COMMIT")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    requests = [_ahead(args)] * args.warm if args.warm else _requests(args)
    if args.on:
        return _elsewhere(host, args, requests)
    commit = copies.source(host, args.source, requests)
    if args.warm:
        copies.make_ahead(host, commit, requests, laziness=args.lazy)
        print(commit.commit_id)
        return 0
    copies.fork(host, commit, requests, lambda record: print(record.config.name, flush=True), args.lazy)
    return 0


def _elsewhere(host: Host, args: arguments.Arguments, requests: list[CopyRequest]) -> int:
    from limosa.cli import peer_options
    from limosa.cli.progress import ProgressLine
    from limosa.engine import copies_elsewhere, exchange

    with exchange.reached(host, peer_options.address(host, args.on, args.ssh_option)) as peer:
        exchange.require_one_key(host, peer)
        commit = copies.source(host, args.source, requests)
        with ProgressLine() as line:
            exchange.push(host, peer, [commit], line.update)
        if args.warm:
            copies_elsewhere.fork(peer, commit, requests, lambda name: None, args.lazy, ahead=True)
            print(commit.commit_id)
        else:
            copies_elsewhere.fork(peer, commit, requests, lambda name: print(name, flush=True), args.lazy)
    return 0


def _ahead(args: arguments.Arguments) -> CopyRequest:
    """Return what a copy is to be of which nothing is known yet. Raises: LimosaError LIM-CLI-003: something is said."""
    said = {"--number": args.number > 1, "--name": args.name, "--publish": args.publish, "--share": args.share_volumes}
    for option in (option for option, value in said.items() if value):
        raise LimosaError(
            "LIM-CLI-003",
            f"{option} cannot be said of copies that are made ahead",
            hint="say it to the fork that takes one" if option in ("--name", "--number") else "leave it out",
            exit_status=EXIT_USAGE,
        )
    return CopyRequest(hook=_hook(args))


def _hook(args: arguments.Arguments) -> tuple[str, ...]:
    if not args.hook:
        return ()
    import shlex

    try:
        return tuple(shlex.split(args.hook))
    except ValueError as unclosed:
        raise LimosaError("LIM-CLI-003", f"--hook {args.hook}: {unclosed}", exit_status=EXIT_USAGE) from unclosed


def _requests(args: arguments.Arguments) -> list[CopyRequest]:
    """Return what each copy is to be. Raises: LimosaError LIM-CLI-003: there are fewer ports than copies."""
    several = args.number > 1 and args.name
    names = [f"{args.name}-{index + 1}" if several else args.name for index in range(args.number)]
    hook = _hook(args)
    return [CopyRequest(name, _ports(args, index), args.share_volumes, hook=hook) for index, name in enumerate(names)]


def _ports(args: arguments.Arguments, index: int) -> tuple[PublishedPort, ...]:
    found = []
    for first, last in args.publish:
        needed = first.host_port + args.number - 1
        if first.host_port and needed > last:
            inner = first.container_port
            raise LimosaError(
                "LIM-CLI-003",
                f"{args.number} copies cannot share the port {first.host_port}",
                hint=f"-p {first.host_port}-{needed}:{inner} gives each its own, -p {inner} a free one",
                exit_status=EXIT_USAGE,
            )
        found.append(first._replace(host_port=first.host_port and first.host_port + index))
    return tuple(found)
