"""Option values: sizes, ports, mounts, as a docker user writes them."""

import argparse

from limosa.model.container import Mount, PublishedPort

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_MOST_PORT = 65535


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
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: use a number and k, m, g or t")
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
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: use [ADDRESS:]HOST:CONTAINER[/udp]")
    if protocol not in ("", "tcp", "udp"):
        raise argparse.ArgumentTypeError(f"{text!r}: only tcp and udp ports are published")
    return PublishedPort(numbers[0], numbers[1], "udp" if protocol == "udp" else "tcp", address)


def variable(text: str) -> tuple[str, str]:
    """Return the meaning of "NAME=VALUE", or of "NAME", which takes the value that it has here."""
    import os

    name, equals, value = text.partition("=")
    if not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value if equals else os.environ.get(name, "")


def bind_mount(text: str) -> Mount:
    """Return the meaning of "SRC:DST[:ro]" with absolute paths."""
    source, _, rest = text.partition(":")
    target, _, mode = rest.partition(":")
    if not source.startswith("/") or not target.startswith("/") or mode not in ("", "ro", "rw"):
        raise argparse.ArgumentTypeError(f"{text!r} is not SRC:DST[:ro] with absolute paths")
    return Mount("bind", source, target, read_only=mode == "ro")
