"""limosa network"""

import argparse

from limosa import wiring
from limosa.cli import table, values
from limosa.engine.host import Host
from limosa.model import codec, json_text
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Any, Literal
from limosa.ports.network import Network

EXAMPLES = """\
examples:
  limosa network create backend
  limosa network create --subnet 10.9.0.0/24 --subnet fd00:9::/64 --internal vault
  limosa network create --uplink eth0 lan            bridged: containers have addresses of the host's own segment
  limosa network create --uplink eth0 --routed --subnet 192.0.2.64/28 public
  limosa network create --vxlan 192.0.2.7,198.51.100.7 --subnet 10.9.0.0/24 lan    the same command on each host
  limosa run -d --network backend --name db pg
  limosa network ls
  limosa network inspect backend
  limosa network rm backend"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="network_verb", required=True, metavar="create|ls|inspect|rm")
    made = verbs.add_parser("create", help="make a network and print its name")
    add = made.add_argument
    add("--subnet", action="append", default=[], metavar="SUBNET", help="IPv4 or IPv6; chosen otherwise")
    add("--gateway", action="append", default=[], metavar="ADDRESS", help="the first address of the subnet otherwise")
    add("--uplink", default="", metavar="IF", help="an interface of the host that leads to its segment")
    add("--routed", action="store_true", help="the host answers for the addresses on its own segment")
    add(
        "--vxlan",
        default=(),
        type=_hosts,
        metavar="ADDRESS,ADDRESS…",
        help="one segment with these hosts, this one too",
    )
    add("--internal", action="store_true", help="no way out")
    add("-l", "--label", action="append", default=[], type=values.label, metavar="KEY[=VALUE]")
    add("--json", action="store_true", help="print the whole network")
    add("name", metavar="NAME")
    listed = verbs.add_parser("ls", help="list networks")
    listed.add_argument("-q", "--quiet", action="store_true", help="names only")
    listed.add_argument("--json", action="store_true")
    shown = verbs.add_parser("inspect", help="show everything about networks, as JSON")
    shown.add_argument("--json", action="store_true", help="accepted: the answer is JSON anyway")
    shown.add_argument("names", nargs="+", metavar="NAME")
    removed = verbs.add_parser("rm", help="remove networks that no container is attached to")
    removed.add_argument("names", nargs="+", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.network_verb == "create":
        made = host.networks.create(_wanted(args))
        print(json_text.dumps(codec.to_jsonable(made), indent=1) if args.json else made.name)
    elif args.network_verb == "rm":
        for name in args.names:
            host.networks.remove(name)
            print(name)
    elif args.network_verb == "inspect":
        known = {network.name: network for network in host.networks.all()}
        missing = [name for name in args.names if name not in known]
        if missing:
            raise LimosaError(
                "LIM-NET-003", f"there is no network called {missing[0]!r}", hint="limosa network ls shows them"
            )
        print(json_text.dumps([_everything(host, known[name]) for name in args.names], indent=1))
    else:
        _list(host, args)
    return 0


def _wanted(args: argparse.Namespace) -> Network:
    """Return the network that the options ask for. Raises: LimosaError LIM-CLI-003: they contradict each other."""
    kind: Literal["bridge", "uplink", "routed"] = "routed" if args.routed else "uplink" if args.uplink else "bridge"
    if args.vxlan and (kind != "bridge" or not any(":" not in subnet for subnet in args.subnet)):
        raise LimosaError(
            "LIM-CLI-003",
            "--vxlan takes an IPv4 --subnet, the same on each host, and no uplink",
            hint="leave out --uplink and --routed, and give --subnet",
            exit_status=EXIT_USAGE,
        )
    if args.internal and kind != "bridge":
        raise LimosaError(
            "LIM-CLI-003",
            "a network with an uplink cannot be internal",
            hint="leave out --internal, or --uplink and --routed",
            exit_status=EXIT_USAGE,
        )
    return Network(
        name=args.name,
        kind=kind,
        ipv4_subnet=_of_version(args.subnet, "--subnet", ipv6=False),
        ipv6_subnet=_of_version(args.subnet, "--subnet", ipv6=True),
        uplink=args.uplink,
        internal=args.internal,
        labels=tuple(dict(args.label).items()),
        vxlan_hosts=args.vxlan,
        ipv4_gateway=_of_version(args.gateway, "--gateway", ipv6=False),
        ipv6_gateway=_of_version(args.gateway, "--gateway", ipv6=True),
    )


def _hosts(text: str) -> tuple[str, ...]:
    import ipaddress

    return tuple(str(ipaddress.IPv4Address(one)) for one in text.split(","))


def _of_version(given: list[str], option: str, *, ipv6: bool) -> str:
    found = [text for text in given if (":" in text) == ipv6]
    if len(found) > 1:
        version = "IPv6" if ipv6 else "IPv4"
        raise LimosaError(
            "LIM-CLI-003", f"two {version} values of {option}", hint="give one of each", exit_status=EXIT_USAGE
        )
    return found[0] if found else ""


def _everything(host: Host, network: Network) -> dict[str, Any]:
    attached = [codec.to_jsonable(one) for one in host.networks.attachments() if one.network == network.name]
    return {**codec.to_jsonable(network), "attachments": attached}


def _list(host: Host, args: argparse.Namespace) -> None:
    found = host.networks.all()
    if args.json:
        print(json_text.dumps([_everything(host, one) for one in found], indent=1))
    elif args.quiet:
        for one in found:
            print(one.name)
    else:
        counts: dict[str, int] = {}
        for attachment in host.networks.attachments():
            counts[attachment.network] = counts.get(attachment.network, 0) + 1
        rows = [
            (
                one.name,
                "internal" if one.internal else one.kind,
                one.uplink,
                one.ipv4_subnet,
                one.ipv6_subnet,
                str(counts.get(one.name, 0)),
            )
            for one in found
        ]
        print(table.render(("NAME", "KIND", "UPLINK", "IPV4", "IPV6", "CONTAINERS"), rows))
