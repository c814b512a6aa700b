"""Option values: sizes, ports, mounts, as a docker user writes them."""

from collections.abc import Sequence

from limosa.cli import arguments
from limosa.model.cgroup import WEIGHT_MAX, WEIGHT_MIN
from limosa.model.container import HOOK_EVENTS, Mount, PublishedPort, RestartPolicy
from limosa.model.devices import DEVICES
from limosa.model.errors import words_of
from limosa.model.hints import TYPE_CHECKING, Final, Literal
from limosa.model.ids import is_name
from limosa.model.value import NamedTuple
from limosa.model.volume import POLICIES, Policy

if TYPE_CHECKING:
    from limosa.model.retention import Keep

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MOST_PORT = 65535
_LEAST_LOG_BYTES: Final = 16 << 10  # conmon writes up to 8 KiB at once
_UNLIMITED: Final = ("unlimited", "-1")
_LEAST_MEMORY_BYTES: Final = 4 << 20
_LEAST_INTERVAL_SECONDS: Final = 10
_MOST_INTERVAL_SECONDS: Final = 365 * 86_400
_LEAST_CPUS: Final = 0.01
_EVENT_FILTERS: Final = ("name", "action", "id")
_ULIMIT_MOST: Final = (1 << 64) - 1
ULIMITS: Final = (
    *("as", "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss"),
    *("rtprio", "rttime", "sigpending", "stack"),
)


class PortRange(NamedTuple):
    """A published port, and the last of the host's ports that it may be."""

    first: PublishedPort
    last_host_port: int


def size_bytes(text: str) -> int:
    """Return the bytes of "512m", "1g", "64MiB", "4096"."""
    lower = text.lower().removesuffix("ib")
    lower = lower[:-1] if lower.endswith("b") and lower[:-1] and not lower[-2:-1].isdigit() else lower
    number, unit = (lower[:-1], lower[-1:]) if lower[-1:].isalpha() else (lower, "")
    try:
        value = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        value = -1
    if value < 0:
        raise arguments.wrong(f"{text!r} is not a size: use a number and k, m, g or t")
    return value


def port(text: str) -> PublishedPort:
    """Return the meaning of "8080:80", "127.0.0.1:8080:80/udp", "[::1]:8080:80", "80"."""
    rest, _, protocol = text.partition("/")
    address = ""
    if rest.startswith("["):
        address, _, rest = rest[1:].partition("]:")
    parts = rest.split(":")
    if len(parts) == 3:
        address, *parts = parts
    numbers = [int(part) if part.isdigit() else -1 for part in (parts if len(parts) == 2 else ["0", *parts])]
    if len(numbers) != 2 or not all(0 <= number <= _MOST_PORT for number in numbers) or numbers[1] == 0:
        raise arguments.wrong(f"{text!r} is not a port: use [ADDRESS:]HOST:CONTAINER[/udp]")
    if protocol not in ("", "tcp", "udp"):
        raise arguments.wrong(f"{text!r}: only tcp and udp ports are published")
    return PublishedPort(numbers[0], numbers[1], "udp" if protocol == "udp" else "tcp", address)


def port_range(text: str) -> PortRange:
    """Return the meaning of a port, or of one with a range of the host's: "8080-8089:80"."""
    rest, slash, protocol = text.rpartition("/") if "/" in text else (text, "", "")
    host, colon, inner = rest.rpartition(":")
    address, _, ports = host.rpartition(":")
    first, dash, last = ports.partition("-")
    if not dash:
        found = port(text)
        return PortRange(found, found.host_port)
    found = port(f"{address}{':' if address else ''}{first}{colon}{inner}{slash}{protocol}")
    if not last.isdigit() or not 0 < found.host_port <= int(last) <= _MOST_PORT:
        raise arguments.wrong(f"{text!r}: {ports!r} is no range of ports: use FIRST-LAST")
    return PortRange(found, int(last))


def variable(text: str) -> tuple[str, str]:
    """Return the meaning of "NAME=VALUE", or of "NAME", which takes the value that it has here."""
    import os

    name, equals, value = text.partition("=")
    if not name:
        raise arguments.wrong(f"{text!r} is not NAME=VALUE")
    return name, value if equals else os.environ.get(name, "")


def mount(text: str) -> Mount:
    """Return the meaning of "SRC:DST[:ro,commit=POLICY]": a bind of an absolute path, or a volume by its name.

    "DST" alone is an anonymous volume: `create` gives it its name.
    "noidmap" leaves the owners of a bind's files as the host has them (docs/adr/0009).
    """
    if _inner_path(text) and ":" not in text:
        return Mount("volume", "", text)
    source, _, rest = text.partition(":")
    target, _, words = rest.partition(":")
    options = {word for word in words.split(",") if word}
    named = is_name(source)
    policies: list[Policy] = [one for one in POLICIES if f"commit={one}" in options and named]
    options -= {f"commit={one}" for one in policies}
    if named and any(word.startswith("commit=") for word in options):
        raise arguments.wrong(f"{text!r}: it is commit={'|'.join(POLICIES)}")
    known = {"ro", "rw"} if named else {"ro", "rw", "noidmap"}
    if not (named or source.startswith("/")) or not _inner_path(target) or options - known or {"ro", "rw"} <= options:
        raise arguments.wrong(f"{text!r} is not SRC:DST[:ro,commit=…]: SRC is an absolute path or a volume's name")
    if len(policies) > 1:
        raise arguments.wrong(f"{text!r}: one commit= at most, of {', '.join(POLICIES)}")
    kept = ("noidmap",) if "noidmap" in options else ()
    kind: Literal["volume", "bind"] = "volume" if named else "bind"
    return Mount(kind, source, target, "ro" in options, kept, policies[0] if policies else None)


_TMPFS_FLAGS: Final = frozenset(("ro", "rw", "exec", "noexec", "suid", "nosuid", "noatime"))
_TMPFS_VALUES: Final = {"size": r"[0-9]+[kmg%]?", "mode": r"[0-7]{3,4}", "uid": r"[0-9]+", "gid": r"[0-9]+"}


def tmpfs(text: str) -> Mount:
    """Return the meaning of "DIR[:size=64m,mode=1777,uid=…,gid=…,ro,noexec]"."""
    import re

    target, _, words = text.partition(":")
    options = tuple(word for word in words.split(",") if word)
    for word in options:
        key, equals, value = word.partition("=")
        fine = re.fullmatch(_TMPFS_VALUES.get(key, "$."), value.lower()) if equals else key in _TMPFS_FLAGS
        if not fine:
            raise arguments.wrong(f"{word!r} is no option of --tmpfs: use size, mode, uid, gid, ro, noexec")
    if not _inner_path(target):
        raise arguments.wrong(f"{text!r} is not DIR[:OPTIONS] with an absolute path")
    return Mount("tmpfs", "", target, options=options)


def _inner_path(text: str) -> bool:
    return text.startswith("/") and text.strip("/") != "" and ".." not in text.split("/")


def memory_bytes(text: str) -> int | None:
    """Return a memory limit; "unlimited" is None."""
    value = bytes_or_unlimited(text)
    if value is not None and value < _LEAST_MEMORY_BYTES:
        raise arguments.wrong(f"{text!r} is less memory than any program starts with: 4m at least")
    return value


def bytes_or_unlimited(text: str) -> int | None:
    """Return a size; "unlimited" and -1 are None."""
    return None if text in _UNLIMITED else size_bytes(text)


def cpus(text: str) -> float | None:
    """Return a number of processors, such as 1.5; "unlimited" and 0 are None."""
    try:
        value = 0.0 if text in _UNLIMITED else float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 20 or 0 < value < _LEAST_CPUS:
        raise arguments.wrong(f"{text!r} is no number of processors: use 0.01 or more, or unlimited")
    return value or None


def cpuset(text: str) -> str:
    """Return a list of processors such as "0-1,3"; "all" is no list of its own."""
    if text in ("", "all"):
        return ""
    import re

    if re.fullmatch(r"\d{1,4}(-\d{1,4})?(,\d{1,4}(-\d{1,4})?)*", text) is None:
        raise arguments.wrong(f"{text!r} is no list of processors: use 0-1,3")
    return text


def weight(text: str) -> int:
    """Return a weight of 1 to 10000; 100 is what everybody has."""
    if not text.isdigit() or not WEIGHT_MIN <= int(text) <= WEIGHT_MAX:
        raise arguments.wrong(f"{text!r} is no weight: use {WEIGHT_MIN} to {WEIGHT_MAX}, 100 is the default")
    return int(text)


def pids(text: str) -> int | None:
    """Return a limit of processes; "unlimited" and -1 are None."""
    if text in _UNLIMITED:
        return None
    if not text.isdigit() or int(text) < 1:
        raise arguments.wrong(f"{text!r} is no number of processes: use 1 or more, or unlimited")
    return int(text)


def restart_policy(text: str) -> RestartPolicy:
    """Return the meaning of no, always, unless-stopped, on-failure[:N]."""
    when, colon, retries = text.partition(":")
    if when not in ("no", "always", "unless-stopped", "on-failure") or (
        colon and (when != "on-failure" or not retries.isdigit())
    ):
        raise arguments.wrong(f"{text!r} is no restart policy: no, always, unless-stopped, on-failure[:N]")
    return RestartPolicy(when, int(retries) if colon else None)  # type: ignore[arg-type]


def ulimit(text: str) -> tuple[str, int, int]:
    """Return (name, soft, hard) of "nofile=1024[:4096]"; "unlimited" and -1 are no limit."""
    name, _, numbers = text.partition("=")
    soft, _, hard = numbers.partition(":")
    found = [
        _ULIMIT_MOST if part in _UNLIMITED else int(part) if part.isdigit() else -1 for part in (soft, hard or soft)
    ]
    if name not in ULIMITS or min(found) < 0:
        raise arguments.wrong(f"{text!r} is not NAME=SOFT[:HARD] with one of {', '.join(ULIMITS)}")
    if found[0] > found[1]:
        raise arguments.wrong(f"{text!r}: the soft limit is above the hard one")
    return name, found[0], found[1]


def label(text: str) -> tuple[str, str]:
    """Return the meaning of "KEY[=VALUE]"."""
    key, _, value = text.partition("=")
    if not key:
        raise arguments.wrong(f"{text!r} is not KEY[=VALUE]")
    return key, value


def setting(text: str) -> tuple[str, str]:
    """Return the meaning of "NAME=VALUE"."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise arguments.wrong(f"{text!r} is not NAME=VALUE")
    return name, value


def hook(text: str) -> tuple[str, str]:
    """Return (event, command) of "EVENT=COMMAND"."""
    event, _, command = text.partition("=")
    if event not in HOOK_EVENTS or not command.strip():
        raise arguments.wrong(f"{text!r} is not EVENT=COMMAND with one of {', '.join(HOOK_EVENTS)}")
    return event, command


def device(text: str) -> str:
    """Return the name of a device: "tun", or its path, "/dev/net/tun"."""
    by_path = {path: name for name, (path, _, _) in DEVICES.items()}
    if by_path.get(text, text) not in DEVICES:
        raise arguments.wrong(f"there is no device {text!r} for containers: use {', '.join(DEVICES)}")
    return by_path.get(text, text)


def seccomp(text: str) -> str:
    """Return "default", "unconfined", or the absolute path of a profile."""
    import os

    return text if text in ("default", "unconfined") else os.path.abspath(text)


def security_option(text: str) -> str:
    """Return the profile of docker's "seccomp=PROFILE"; "no-new-privileges" is so anyway and gives an empty string."""
    name, _, value = text.partition("=")
    if name == "seccomp" and value:
        return seccomp(value)
    if name == "no-new-privileges" and value in ("", "true"):
        return ""
    raise arguments.wrong(f"{text!r}: only seccomp=default|unconfined|FILE is an option")


def env_file(text: str) -> list[tuple[str, str]]:
    """Return the variables of a file with NAME=VALUE lines; NAME alone takes its value here, # begins a comment."""
    try:
        with open(text, encoding="utf-8") as file:
            lines = [line.strip("\r\n") for line in file]
    except OSError as unreadable:
        raise arguments.wrong(f"the file cannot be read: {words_of(unreadable)}") from unreadable
    except UnicodeError as unreadable:
        raise arguments.wrong(f"{text} is no text: {unreadable}") from unreadable
    return [variable(line.lstrip()) for line in lines if line.strip() and not line.lstrip().startswith("#")]


def yes_or_no(text: str) -> bool:
    """Return the meaning of "true" and "false"."""
    if text.lower() not in ("true", "false", "1", "0", "yes", "no"):
        raise arguments.wrong(f"{text!r} is not true or false")
    return text.lower() in ("true", "1", "yes")


def count(text: str) -> int:
    """Return a number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise arguments.wrong(f"{text!r} is no number of 1 or more")
    return int(text)


def interval_s(text: str) -> int:
    """Return the seconds of "10m", "1h", "30s", "1d"; 10 at least."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    number, unit = text[:-1], text[-1:]
    seconds = int(number) * units[unit] if number.isdigit() and unit in units else 0
    if not _LEAST_INTERVAL_SECONDS <= seconds <= _MOST_INTERVAL_SECONDS:
        raise arguments.wrong(f"{text!r} is no interval: use a number and s, m, h or d, from 10s to 365d")
    return seconds


def retention(text: str) -> "Keep":
    """Return the meaning of "hourly=24,daily=7"."""
    from limosa.model import retention as rules

    try:
        return rules.parse(text)
    except ValueError as wrong:
        raise arguments.wrong(str(wrong)) from wrong


def seconds(text: str) -> float:
    """Return a number of seconds, 0 or more."""
    return _number_of(text, "seconds")


def days(text: str) -> float:
    """Return a number of days, 0 or more."""
    return _number_of(text, "days")


def _number_of(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1 << 20:
        raise arguments.wrong(f"{text!r} is no number of {unit}: use 0 or more")
    return value


def container_filter(text: str) -> tuple[str, str]:
    """Return (kind, value) of "name=web"."""
    from limosa.cli.filters import KINDS, STATUSES

    kind, value = _filter(text, KINDS)
    if kind == "status" and value not in STATUSES:
        raise arguments.wrong(f"{text!r}: a container is {', '.join(STATUSES)}")
    return kind, value


def event_filter(text: str) -> tuple[str, str]:
    """Return (kind, value) of "action=die"; docker's "event" and "container" are "action" and "name"."""
    kind, equals, value = text.partition("=")
    return _filter(f"{({'event': 'action', 'container': 'name'}).get(kind, kind)}{equals}{value}", _EVENT_FILTERS)


def _filter(text: str, kinds: Sequence[str]) -> tuple[str, str]:
    kind, _, value = text.partition("=")
    if kind not in kinds or not value:
        raise arguments.wrong(f"{text!r} is no filter: use {', '.join(f'{one}=' for one in kinds)}")
    return kind, value


def log_option(text: str) -> int | None:
    """Return the bytes of docker's "max-size=SIZE"; -1 is no limit."""
    name, _, value = text.partition("=")
    if name != "max-size":
        raise arguments.wrong(f"{text!r}: only max-size=SIZE is an option of the log")
    return None if value in ("", "-1") else max(size_bytes(value), _LEAST_LOG_BYTES)
