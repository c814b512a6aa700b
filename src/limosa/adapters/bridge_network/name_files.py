"""The /etc/hosts and /etc/resolv.conf of containers. They are bind-mounted, so they are always written in place."""

import os
from collections.abc import Callable, Iterable, Mapping

from limosa.adapters.bridge_network.state import Book
from limosa.linux.flock import locked
from limosa.model.hints import Any, Final
from limosa.model.ids import ContainerId
from limosa.ports.network import Attachment

RESOLV_CONF: Final = "/etc/resolv.conf"
RESOLVED_CONF: Final = "/run/systemd/resolve/resolv.conf"
_LOOPBACK: Final = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""


def write_in_place(path: str, text: str) -> None:
    """Make `text` the content of the file, which stays the same file. Nothing happens if it has it already.

    A reader at the wrong moment sees the new text followed by the end of a longer old one, never an empty file.
    """
    data = text.encode()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        before = os.fstat(descriptor).st_size
        if before != len(data) or os.pread(descriptor, before, 0) != data:
            os.pwrite(descriptor, data, 0)
            if before > len(data):
                os.ftruncate(descriptor, len(data))
    finally:
        os.close(descriptor)


def hosts_text(own: Mapping[str, Any], running: Iterable[Mapping[str, Any]]) -> str:
    """Return the hosts file of the container whose lease is `own`, beside those of `running`."""
    inner = own.get("inner") or {}
    if inner.get("ipv4") or inner.get("ipv6"):  # a copy: it has another address inside than the one that neighbours use
        own = {**own, "addresses": inner}
    lines = [_LOOPBACK, *_entries(own, [own["hostname"], own["container_name"]])]
    if not own["addresses"]["ipv4"] and not own["addresses"]["ipv6"]:
        lines.append(f"127.0.1.1\t{' '.join(_names(own['hostname'], own['container_name']))}\n")
    for lease in running:
        # Whoever has the address that a copy has inside cannot be reached from it.
        if lease["container_id"] != own["container_id"] and not _same_address(lease, own):
            lines += _entries(lease, [lease["container_name"], lease["hostname"]])
    return "".join(lines)


def _same_address(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    both = ((one["addresses"][kind], two["addresses"][kind]) for kind in ("ipv4", "ipv6"))
    return any(here and here.partition("/")[0] == there.partition("/")[0] for here, there in both)


def _names(*names: str) -> list[str]:
    return [name for name in dict.fromkeys(names) if name]


def _entries(lease: Mapping[str, Any], names: list[str]) -> list[str]:
    words = " ".join(_names(*names))
    addresses = (lease["addresses"][kind].partition("/")[0] for kind in ("ipv4", "ipv6"))
    return [f"{address}\t{words}\n" for address in addresses if address]


def write_hosts(
    book: Book, network: str, own: ContainerId, runs: Callable[[ContainerId], bool], *, neighbours: bool
) -> None:
    """Bring the hosts file of `own`, and with `neighbours` of those on its network that run, in line with who runs."""
    with locked(f"{book.directory}/hosts.lock"):
        leases = [one for one in book.read().raw_leases().values() if one["network"] == network]
        running = [one for one in leases if runs(one["container_id"])]
        wanted = {own} | ({one["container_id"] for one in running} if neighbours else set())
        for lease in (one for one in leases if one["container_id"] in wanted):
            path = f"{book.directory}/hosts/{lease['container_id']}"
            if network == "host":
                write_in_place(path, read_or_empty("/etc/hosts"))
            else:
                write_in_place(path, hosts_text(lease, running))


def write_resolv(directory: str, attachment: Attachment) -> str:
    """Bring the resolv.conf of a container in line with the host's, and return its path."""
    path = f"{directory}/resolv/{attachment.container_id}"
    text = read_or_empty(RESOLV_CONF)
    if attachment.network != "host":
        text = resolv_text(text, read_or_empty(RESOLVED_CONF))
    write_in_place(path, text)
    return path


def resolv_text(host_text: str, behind_loopback: str) -> str:
    """Return a resolv.conf without servers on the host's loopback.

    `behind_loopback` is the file that names the servers a local resolver asks itself; they take its place.
    """
    if not _servers(host_text):
        host_text = host_text + "\n".join(f"nameserver {server}" for server in _servers(behind_loopback)) + "\n"
    lines = [line for line in host_text.splitlines() if not _is_loopback_server(line)]
    return "\n".join(line for line in lines if line.strip()) + "\n"


def _servers(text: str) -> list[str]:
    found = [line.split() for line in text.splitlines()]
    lines = [words[1] for words in found if len(words) > 1 and words[0] == "nameserver"]
    return [server for server in lines if not _is_loopback_server(f"nameserver {server}")]


def _is_loopback_server(line: str) -> bool:
    words = line.split()
    return len(words) > 1 and words[0] == "nameserver" and (words[1].startswith("127.") or words[1] == "::1")


def read_or_empty(path: str) -> str:
    """Return a file's text, or nothing when there is no such file."""
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def remove(directory: str, container_id: ContainerId) -> None:
    """Remove both files of a container."""
    for kind in ("hosts", "resolv"):
        try:
            os.unlink(f"{directory}/{kind}/{container_id}")
        except FileNotFoundError:
            continue
