"""limosa events"""

import time

from limosa import wiring
from limosa.cli import arguments, values
from limosa.model import codec, console_log, json_text
from limosa.model.event import Event
from limosa.model.hints import Final
from limosa.model.ids import short

EXAMPLES = """\
examples:
  limosa events
  limosa events -f --filter name=web
  limosa events --since 10m --json | jq -r .action"""

_PAUSE_SECONDS: Final = 0.2


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("--since", default="", metavar="10m|TIME", help="not those before")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what happens from now on")
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        type=values.event_filter,
        metavar="name=|action=|id=",
        help="only these",
    )
    parser.add_argument("--json", action="store_true", help="an object a line")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    since_ns = console_log.moment_ns(args.since, time.time_ns()) if args.since else 0
    found = host.journal.follow(since_ns, _pause) if args.follow else iter(host.journal.read(since_ns))
    for event in found:
        if all(_fits(event, kind, text) for kind, text in args.filter):
            print(json_text.dumps(codec.to_jsonable(event)) if args.json else _line(event), flush=True)
    return 0


def _pause() -> bool:
    time.sleep(_PAUSE_SECONDS)
    return True


def _fits(event: Event, kind: str, text: str) -> bool:
    if kind == "id":
        return event.container_id.startswith(text)
    return text == (event.name if kind == "name" else event.action)


def _line(event: Event) -> str:
    moment = time.strftime("%F %T", time.localtime(event.time_ns / 1e9))
    words = (f"{moment}.{event.time_ns // 1_000_000 % 1000:03d}", event.action, short(event.container_id), event.name)
    return "  ".join([*words, *filter(None, (event.oci_image, event.detail))])
