"""Which processes of a running container have what CRIU refuses. Nothing is stopped or changed by looking."""

import os
from collections.abc import Iterator

from limosa.adapters.criu import refusals
from limosa.adapters.criu.refusals import Refusal
from limosa.linux import descriptors, namespaces, proc_table, process, sock_diag
from limosa.linux.descriptors import Descriptor
from limosa.linux.sock_diag import UnixSocket
from limosa.model.obstacle import Obstacle
from limosa.model.value import NamedTuple


class Known(NamedTuple):
    """What the processes do not say."""

    ghost_limit_bytes: int  # how much of a removed file is dumped
    not_committed: tuple[tuple[str, str], ...]  # path inside, what it is
    own_network: bool  # not the host's


def look(init_pid: int, pids: list[int], known: Known, *, thorough: bool) -> list[Obstacle]:
    """Return what would stop a dump. Without `thorough` sockets, mappings and mounts are left out.

    A process that ends meanwhile is no obstacle, nor is one that does not descend from the first: criu sees no other.
    """
    pids = _descendants(init_pid, pids)
    opened = {pid: descriptors.descriptors(pid, with_mounts=thorough) for pid in pids}
    found = [*_of_descriptors(opened, known), *_of_namespaces(init_pid, pids)]
    if thorough:
        found += [*_of_sockets(opened), *_of_mappings(pids), *_of_tracers(pids), *_of_files(opened)]
        found += [*_of_mounts(init_pid), *_of_outer_files(opened, known), *_of_interfaces(init_pid, known)]
    return found


def _descendants(init_pid: int, pids: list[int]) -> list[int]:
    found = [init_pid]
    parents = {pid: process.parent(pid) for pid in pids}
    for pid in found:  # grows while it is walked
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _obstacle(pid: int, place: str, refusal: Refusal) -> Iterator[Obstacle]:
    try:
        row = proc_table.row(pid)
    except (ProcessLookupError, OSError):
        return
    yield Obstacle(refusal.code, row.command, row.inner_pid, place, refusal.what, refusal.hint)


def _of_descriptors(opened: dict[int, list[Descriptor]], known: Known) -> Iterator[Obstacle]:
    for pid, found in opened.items():
        for descriptor in found:
            refusal = refusals.of_descriptor(descriptor, known.ghost_limit_bytes)
            if refusal is not None:
                yield from _obstacle(pid, f"fd {descriptor.number}", refusal)


def _of_files(opened: dict[int, list[Descriptor]]) -> Iterator[Obstacle]:
    tables: dict[str, set[int]] = {}
    for pid, found in opened.items():
        own = descriptors.namespaces(pid).get("mnt", "")
        if own not in tables:
            tables[own] = {mounted.mount_id for mounted in descriptors.mount_table(pid)}
        for descriptor in found:
            refusal = refusals.of_mount_of(descriptor, tables[own]) if tables[own] else None
            if refusal is not None:
                yield from _obstacle(pid, f"fd {descriptor.number}", refusal)


def _of_interfaces(init_pid: int, known: Known) -> Iterator[Obstacle]:
    if not known.own_network:
        return
    for name in descriptors.interfaces(init_pid):
        refusal = refusals.of_interface(name)
        if refusal is not None:
            yield Obstacle(refusal.code, "", 0, "", refusal.what, refusal.hint, stops=False)


def _of_outer_files(opened: dict[int, list[Descriptor]], known: Known) -> Iterator[Obstacle]:
    for pid, found in opened.items():
        for descriptor in found:
            refusal = refusals.of_outer_file(descriptor, known.not_committed)
            if refusal is not None:
                yield from (one._replace(stops=False) for one in _obstacle(pid, f"fd {descriptor.number}", refusal))


def _of_namespaces(init_pid: int, pids: list[int]) -> Iterator[Obstacle]:
    first = descriptors.namespaces(init_pid)
    for pid in pids:
        own = descriptors.namespaces(pid)
        for kind, refusal in refusals.of_namespaces(own, first) if own and first else ():
            yield from _obstacle(pid, f"namespace {kind}", refusal)


def _of_sockets(opened: dict[int, list[Descriptor]]) -> Iterator[Obstacle]:
    inside = {inode for found in opened.values() for one in found if (inode := _inode(one))}
    known: dict[str, tuple[dict[int, UnixSocket], set[int]]] = {}
    for pid, found in opened.items():
        sockets = [one for one in found if _inode(one)]
        network = descriptors.namespaces(pid).get("net", "") if sockets else ""
        if network and network not in known:
            known[network] = (_unix_sockets(pid), descriptors.unread_netlink(pid))
        for one in sockets:
            refusal = _of_socket(pid, one, *known.get(network, ({}, set())), inside)
            if refusal is not None:
                yield from _obstacle(pid, f"fd {one.number}", refusal)


def _of_socket(
    pid: int, one: Descriptor, unix: dict[int, UnixSocket], unread: set[int], inside: set[int]
) -> Refusal | None:
    inode = _inode(one)
    if inode in unix:
        return refusals.of_unix(unix[inode], unix, inside)
    if inode in unread:
        return refusals.unread_netlink()
    facts = descriptors.socket_facts(pid, one.number)
    return refusals.of_socket(facts) if facts is not None else None


def _inode(descriptor: Descriptor) -> int:
    return int(descriptor.link[8:-1]) if descriptor.link.startswith("socket:[") else 0


def _unix_sockets(pid: int) -> dict[int, UnixSocket]:
    try:
        network = namespaces.open_network(pid)
    except OSError:
        return {}
    try:
        with namespaces.entered(network), sock_diag.opened() as diag:
            return sock_diag.unix_sockets(diag)
    finally:
        os.close(network)


def _of_mappings(pids: list[int]) -> Iterator[Obstacle]:
    for pid in pids:
        for mapping in descriptors.odd_mappings(pid):
            refusal = refusals.of_mapping(mapping)
            if refusal is not None:
                yield from _obstacle(pid, f"mapping {mapping.addresses}", refusal)


def _of_tracers(pids: list[int]) -> Iterator[Obstacle]:
    for pid in pids:
        if descriptors.tracer(pid):
            refusal = Refusal("LIM-CRIU-025", "is traced", "end the debugger or strace that is attached to it")
            yield from _obstacle(pid, "", refusal)


def _of_mounts(init_pid: int) -> Iterator[Obstacle]:
    of_the_host = {mounted.device for mounted in descriptors.mount_table("self")}
    for mounted in descriptors.mount_table(init_pid):
        content = descriptors.names_in(init_pid, mounted.point) if mounted.kind in refusals.EMPTY_MOUNTS else []
        refusal = refusals.of_mount(mounted, of_the_host, content)
        if refusal is not None:
            yield Obstacle(refusal.code, "", 0, f"mount {mounted.point}", refusal.what, refusal.hint)
