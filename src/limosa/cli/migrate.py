"""limosa migrate"""

import argparse
import json

from limosa import wiring
from limosa.cli import peer_options, table, values
from limosa.cli.progress import ProgressLine, human
from limosa.engine import migrate
from limosa.engine.host import Host
from limosa.engine.migrate import Downtime, Progress, Summary, Wanted
from limosa.model import codec
from limosa.model.container import ContainerRecord
from limosa.model.hosts import Finding
from limosa.model.migration import Way
from limosa.model.peer_address import PeerAddress
from limosa.model.precopy import Wish

EXAMPLES = f"""\
examples:
  limosa migrate web root@spare                          with its memory, files, address and open connections
  limosa migrate --check web spare                       compares the hosts; the first step of each migration
  limosa migrate web spare --to-name web2 --keep         leaves a stopped web here
  limosa migrate web spare --max-downtime 100ms --bandwidth 50M
  limosa migrate web spare --fallback near-live          if it cannot move live, it is stopped and started there
{peer_options.HOSTS}
Both hosts have one key (limosa host add --init) and a network of the container's network's name. Its address can
come along where that network is bridged to one segment (network create --uplink). Files and memory are sent in rounds
while it runs; then it stands still for the rest. If anything fails it goes on here, and nobody is left there.

--fallback is for what cannot move live: what --check calls "live" stands in the way of processes alone. near-live sends
its files in rounds while it runs, then stops it, sends what has changed and starts it there; restart stops it first.
Why, and how long it will be away, is said before it is stopped. If anything fails it is started here again."""

_WAYS: dict[str, str] = {
    "near-live": "its files are sent while it runs; it is stopped, what has changed is sent, and it is started there",
    "restart": "it is stopped, its files are sent, and it is started there",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--to-name", default="", metavar="NAME", help="what it is called there")
    add_options(parser)
    parser.add_argument("container", metavar="NAME")
    parser.add_argument("host", metavar="HOST")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what `migrate` and `evacuate` have in common."""
    add = parser.add_argument
    add("--check", action="store_true", help="only compare the hosts, and list all that stands in the way")
    add("--keep", action="store_true", help="leave a stopped container here, with its last commit")
    add("--precopy-rounds", default=None, type=_rounds, metavar="N|auto", help="auto: as long as rounds pay off")
    add("--max-downtime", default=0.2, type=_seconds, metavar="TIME", help="200ms, 1s: rounds go on until less is left")
    add("--bandwidth", default=0, type=values.size_bytes, metavar="SIZE", help="bytes a second, such as 100M")
    add("--tcp", choices=("keep", "close"), default="keep", help="close: its connections to elsewhere end")
    add(
        "--fallback", choices=("near-live", "restart", "none"), default="none", help="what to do if it cannot move live"
    )
    peer_options.add_options(parser)
    add("--json", action="store_true")


def wanted(args: argparse.Namespace, there: str = "") -> Wanted:
    """Return what the options ask for."""
    wish = Wish(args.max_downtime, args.precopy_rounds)
    return Wanted(there, args.keep, args.tcp == "keep", wish, args.bandwidth, args.fallback)


def _rounds(text: str) -> int | None:
    return None if text == "auto" else int(text)


def _seconds(text: str) -> float:
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    address = peer_options.address(host, args.host, args.ssh_option)
    asked = wanted(args, args.to_name)
    if args.check:
        return _check(args, migrate.check(host, record, address, asked))
    with ProgressLine(quiet=args.json) as line:
        done = moved(host, record, address, asked, line)
    print(json.dumps(codec.to_jsonable(done), indent=1) if args.json else told(done, args.host))
    return 0


def moved(host: Host, record: ContainerRecord, address: PeerAddress, asked: Wanted, line: ProgressLine) -> Summary:
    """Move a container and show where that is. Raises: as `migrate.migrate`."""

    def tell(way: Way, why: tuple[str, ...]) -> None:
        line.say(why_not_live(record.config.name, way, why))

    def shown(progress: Progress) -> None:
        if progress.downtime is not None:
            line.say(away(progress.downtime))
        line.update(words(progress), progress.sent_bytes, 0)

    return migrate.migrate(host, record, address, asked, shown, tell)


def why_not_live(name: str, way: Way, why: tuple[str, ...]) -> str:
    """Return why a container is stopped for its move, and what that is, in words."""
    return f"{name} cannot move live: {'; '.join(why)}\n{way}: {_WAYS[way]}"


def away(expected: Downtime) -> str:
    """Return what the downtime will be, in words."""
    return (
        f"it is stopped now: {expected.stop_s:.0f} s at most until it has ended, {human(expected.left_bytes)} of files "
        f"to send ({expected.send_s:.1f} s), and its start there"
    )


def _check(args: argparse.Namespace, found: list[Finding]) -> int:
    """Print what was found; the status is 1 if something stands in the way."""
    if args.json:
        print(json.dumps(codec.to_jsonable(found), indent=1))
    else:
        told_check(args.container, found)
    stops = [one for one in found if one.severity == "stops"]
    around = args.fallback != "none" and all(one.live_only for one in stops)
    if around and stops and not args.json:
        print(f"--fallback {args.fallback}: {_WAYS[args.fallback]}")
    return 1 if stops and not around else 0


def told_check(name: str, found: list[Finding]) -> None:
    """Print what was found for a container."""
    if found:
        rows = [(f"{one.severity} live" if one.live_only else one.severity, one.what, one.hint) for one in found]
        print(table.render((name, "FOUND", "WAY OUT"), rows))
    else:
        print(f"nothing stands in the way of {name}")


def words(progress: Progress) -> str:
    """Return where a migration is."""
    said = progress.phase + (f", round {progress.rounds}" if progress.rounds else "")
    if progress.expected is not None:
        expected = progress.expected
        said += f" (about {human(expected.left_bytes)} left to change, {expected.send_s * 1000:.0f} ms to send)"
    return said


def told(done: Summary, host: str) -> str:
    """Return what a migration took, in words."""
    stood = "frozen" if done.way == "live" else f"{done.way}, away"
    parts = [f"{done.name} runs at {host}: {done.total_ns / 1e9:.2f} s, {stood} {done.frozen_ns / 1e6:.0f} ms"]
    rounds = ", ".join(human(one.sent_bytes) for one in done.rounds)
    parts.append(f"rounds: {rounds}; while frozen: {human(done.frozen_bytes)}; in all {human(done.sent_bytes)}")
    took = ", ".join(f"{one.part} {one.ns / 1e6:.0f}" for one in done.took)
    parts.append(f"of the {'frozen time' if done.way == 'live' else 'downtime'}, in ms: {took}")
    if done.retransmitted:
        parts.append(f"TCP segments sent once more, for want of an answer: {done.retransmitted}")
    if done.images:
        parts.append(f"image: {', '.join(done.images)}")
    return "\n".join(parts)
