"""limosa logs"""

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator

from limosa import wiring
from limosa.cli import arguments
from limosa.engine import logs
from limosa.model import console_log
from limosa.model.console_log import Entry
from limosa.model.hints import Final

EXAMPLES = """\
examples:
  limosa logs web
  limosa logs -f --since 10m web
  limosa logs --timestamps --tail 20 web"""

_ALL: Final = -1


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the container has ended")
    parser.add_argument("-t", "--timestamps", action="store_true", help="the time before each line")
    parser.add_argument(
        "-n", "--tail", type=_lines, default=_ALL, metavar="LINES|all", help="only so many of the last lines"
    )
    parser.add_argument(
        "--since", default="", metavar="TIME", help="from 10m ago, 2026-11-24T10:00:00Z or seconds since 1970"
    )
    parser.add_argument("--until", default="", metavar="TIME", help="the same, for the end")
    parser.add_argument("--json", action="store_true", help="an object a line: time, stream, text")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    found = logs.entries(host, record, follow=args.follow)
    now_ns = time.time_ns()
    if args.since or args.until:
        since_ns = console_log.moment_ns(args.since, now_ns) if args.since else 0
        until_ns = console_log.moment_ns(args.until, now_ns) if args.until else 1 << 63
        found = _between(found, since_ns, until_ns)
    show = _Output(timestamps=args.timestamps, as_json=args.json)
    for entry in _last(found, args.tail):
        if entry is None:
            show.flush()
        else:
            show(entry)
    show.flush()
    return 0


def _lines(text: str) -> int:
    if text == "all":
        return _ALL
    if not text.isdigit():
        raise arguments.wrong(f"{text!r} is no number of lines")
    return int(text)


def _between(entries: Iterable[Entry | None], since_ns: int, until_ns: int) -> Iterator[Entry | None]:
    for entry in entries:
        if entry is None or since_ns <= console_log.time_ns(entry.time) < until_ns:
            yield entry


def _last(entries: Iterator[Entry | None], lines: int) -> Iterator[Entry | None]:
    """Return the last `lines` lines of what is there already, and all that comes after it."""
    if lines != _ALL:
        kept: deque[list[Entry]] = deque(maxlen=lines)
        parts: dict[str, list[Entry]] = {"stdout": [], "stderr": []}
        for entry in entries:
            if entry is None:
                break
            parts[entry.stream].append(entry)
            if entry.whole:
                kept.append(parts[entry.stream])
                parts[entry.stream] = []
        for line in [*kept, *(parts.values() if lines else ())]:
            yield from line
    yield from entries


class _Output:
    """Prints entries: each to the stream that it came from, a line's time before its first part."""

    def __init__(self, *, timestamps: bool, as_json: bool) -> None:
        self._timestamps = timestamps
        self._as_json = as_json
        self._inside = {"stdout": False, "stderr": False}

    def __call__(self, entry: Entry) -> None:
        if self._as_json:
            from limosa.model import json_text

            fields = {"time": entry.time, "stream": entry.stream, "whole": entry.whole}
            print(json_text.dumps({**fields, "text": entry.text.decode(errors="replace")}))
            return
        target = (sys.stderr if entry.stream == "stderr" else sys.stdout).buffer
        when = f"{entry.time} ".encode() if self._timestamps and not self._inside[entry.stream] else b""
        target.write(when + entry.text + (b"\n" if entry.whole else b""))
        self._inside[entry.stream] = not entry.whole

    def flush(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
