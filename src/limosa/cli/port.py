"""limosa port"""

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import inspection
from limosa.model import codec, json_text
from limosa.model.container import PublishedPort
from limosa.model.errors import LimosaError

EXAMPLES = """\
examples:
  limosa port web              80/tcp -> 0.0.0.0:8080
  limosa port web 80"""


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("port", nargs="?", default="", metavar="PORT[/PROTOCOL]")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    number, _, protocol = args.port.partition("/")
    wanted = (number, protocol or "tcp") if args.port else None
    found = [one for one in inspection.ports(host, record) if wanted in (None, (str(one.container_port), one.protocol))]
    if args.json:
        print(json_text.dumps([codec.to_jsonable(one) for one in found], indent=1))
        return 0
    if args.port and not found:
        raise LimosaError(
            "LIM-NET-012",
            f'"{record.config.name}" does not publish its port {args.port}',
            hint=f"limosa port {record.config.name} shows what it publishes",
        )
    for one in found:
        where = _where(one)
        print(where if args.port else f"{one.container_port}/{one.protocol} -> {where}")
    return 0


def _where(port: PublishedPort) -> str:
    address = port.host_address or "0.0.0.0"  # noqa: S104 - what docker's users read as "every address"
    return f"[{address}]:{port.host_port}" if ":" in address else f"{address}:{port.host_port}"
