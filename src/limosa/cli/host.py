"""limosa host"""

import argparse
import json

from limosa import wiring
from limosa.cli import peer_options, table
from limosa.engine import exchange
from limosa.engine.host import Host
from limosa.model import codec
from limosa.model.errors import LimosaError
from limosa.model.ids import checked_name
from limosa.model.peer_address import PeerAddress

EXAMPLES = """\
examples:
  limosa host add spare root@192.0.2.7 --init        asks whether limosa answers there, and gives it this host's key
  limosa host add spare root@192.0.2.7 --host-root /srv/limosa --command /opt/limosa/bin/limosa
  limosa host ls
  limosa host check spare
  limosa host rm spare
Hosts that share commits or containers have one key; --init gives it to a host that has no commits yet."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="host_verb", required=True, metavar="add|ls|check|rm")
    added = verbs.add_parser("add", help="remember a host")
    added.add_argument("--host-root", default="", metavar="DIR", help="the root of limosa there, if it is another one")
    added.add_argument("--command", default="limosa", metavar="PATH", help="what limosa is called there")
    added.add_argument("--init", action="store_true", help="give it this host's key; it has no commits yet")
    peer_options.add_options(added)
    added.add_argument("name", metavar="NAME")
    added.add_argument("destination", metavar="[USER@]HOST")
    listed = verbs.add_parser("ls", help="list the hosts that are remembered")
    listed.add_argument("--json", action="store_true")
    checked = verbs.add_parser("check", help="ask hosts whether they are there and fit")
    checked.add_argument("--json", action="store_true")
    peer_options.add_options(checked)
    checked.add_argument("names", nargs="*", metavar="HOST", help="all that are remembered if none is named")
    removed = verbs.add_parser("rm", help="forget hosts")
    removed.add_argument("names", nargs="+", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.host_verb == "add":
        return _add(host, args)
    if args.host_verb == "rm":
        for name in args.names:
            if name not in host.host_book.all():
                raise LimosaError("LIM-PEER-005", f"no host is called {name!r}", hint="limosa host ls")
            host.host_book.put(name, None)
            print(name)
        return 0
    if args.host_verb == "check":
        return _check(host, args)
    known = host.host_book.all()
    if args.json:
        print(json.dumps(codec.to_jsonable(known), indent=1))
        return 0
    rows = [(name, one.destination, one.root, one.command, " ".join(one.ssh_options)) for name, one in known.items()]
    print(table.render(("NAME", "DESTINATION", "ROOT", "COMMAND", "SSH OPTIONS"), rows))
    return 0


def _add(host: Host, args: argparse.Namespace) -> int:
    peer_options.require_known_kind(args.destination)
    address = PeerAddress(args.destination, tuple(args.ssh_option), args.host_root, args.command)
    with exchange.reached(host, address) as peer:
        if args.init:
            exchange.give_key(host, peer)
    host.host_book.put(checked_name(args.name, "host"), address)
    print(args.name)
    return 0


def _check(host: Host, args: argparse.Namespace) -> int:
    rows, found, failed = [], {}, False
    for name in args.names or list(host.host_book.all()):
        try:
            with exchange.reached(host, peer_options.address(host, name, args.ssh_option)) as peer:
                exchange.require_one_key(host, peer)
                rows.append((name, "ready", peer.hello.limosa, peer.hello.host))
                found[name] = {"ready": True, "limosa": peer.hello.limosa, "host": peer.hello.host}
        except LimosaError as not_there:
            failed = True
            rows.append((name, not_there.summary, "", ""))
            found[name] = {"ready": False, **not_there.as_json()}
    print(json.dumps(found, indent=1) if args.json else table.render(("HOST", "STATE", "LIMOSA", "MACHINE"), rows))
    return 1 if failed else 0
