"""Host ports: which ones a container may have, and who has those that it may not."""

from collections.abc import Iterable, Mapping

from limosa.linux import sockets
from limosa.model.container import PublishedPort
from limosa.model.errors import LimosaError, words_of

_ANY = {"": (4, 6), "0.0.0.0": (4,), "::": (6,)}  # noqa: S104 - compared, not bound


def collide(one: PublishedPort, other: PublishedPort) -> bool:
    """Say whether two published ports want the same port of the same address."""
    if (one.protocol, one.host_port) != (other.protocol, other.host_port):
        return False
    if one.host_address in _ANY and other.host_address in _ANY:
        return bool(set(_ANY[one.host_address]) & set(_ANY[other.host_address]))
    if one.host_address not in _ANY and other.host_address not in _ANY:
        return one.host_address == other.host_address
    wildcard, single = (one, other) if one.host_address in _ANY else (other, one)
    return (6 if ":" in single.host_address else 4) in _ANY[wildcard.host_address]


def chosen(
    ports: Iterable[PublishedPort], kept: Iterable[PublishedPort], others: Mapping[str, Iterable[PublishedPort]]
) -> tuple[PublishedPort, ...]:
    """Return `ports` with a host port where 0 stands, after making sure that nobody has any of them.

    `kept` are those that the container holds already; `others` the ones of other containers, by name.
    Raises: LimosaError LIM-NET-005, LIM-NET-008.
    """
    done: list[PublishedPort] = []
    mine = set(kept)
    for port in ports:
        checked = _canonical(port)
        if checked.host_port == 0:
            checked = _with_free_port(checked, done, others)
        elif checked not in mine:
            _refuse_taken(checked, done, others)
        done.append(checked)
    return tuple(done)


def _canonical(port: PublishedPort) -> PublishedPort:
    import ipaddress

    if not 0 <= port.host_port <= 65535 or not 1 <= port.container_port <= 65535:
        raise LimosaError(
            "LIM-NET-008",
            f"{port.host_port}:{port.container_port} cannot be published",
            cause="a port is 1 to 65535",
            hint="-p HOST_PORT:CONTAINER_PORT; without HOST_PORT limosa chooses a free one",
            exit_status=2,
        )
    if not port.host_address:
        return port
    try:
        return port._replace(host_address=str(ipaddress.ip_address(port.host_address)))
    except ValueError as error:
        raise LimosaError(
            "LIM-NET-008",
            f"{port.host_address!r} is no address of the host",
            cause=words_of(error),
            hint="name an address that the host has, or none",
            exit_status=2,
        ) from error


def _with_free_port(
    port: PublishedPort, done: list[PublishedPort], others: Mapping[str, Iterable[PublishedPort]]
) -> PublishedPort:
    for _ in range(100):
        candidate = port._replace(host_port=sockets.free_port(port.protocol, port.host_address))
        taken = any(collide(candidate, other) for ports in (done, *others.values()) for other in ports)
        if not taken and sockets.bindable(candidate.protocol, candidate.host_address, candidate.host_port):
            return candidate
    raise LimosaError("LIM-NET-005", "no port of the host is free", hint="name one: -p HOST_PORT:CONTAINER_PORT")


def _refuse_taken(
    port: PublishedPort, done: list[PublishedPort], others: Mapping[str, Iterable[PublishedPort]]
) -> None:
    if any(collide(port, other) for other in done):
        raise _in_use(port, "it is asked for twice")
    for name, ports in others.items():
        if any(collide(port, other) for other in ports):
            raise _in_use(port, f"{name} has it")
    try:
        free = sockets.bindable(port.protocol, port.host_address, port.host_port)
    except OSError as error:
        raise LimosaError(
            "LIM-NET-008",
            f"{port.host_address}:{port.host_port} cannot be published",
            cause=error.strerror or str(error),
            hint="name an address that the host has, or none",
        ) from error
    if not free:
        owner = sockets.port_owner(port.protocol, port.host_port)
        whose = f"{owner.name} (pid {owner.pid})" if owner else "a process"
        raise _in_use(port, f"{whose} on the host has it")


def _in_use(port: PublishedPort, cause: str) -> LimosaError:
    return LimosaError(
        "LIM-NET-005",
        f"port {port.host_port}/{port.protocol} of the host is in use",
        cause=cause,
        hint="publish it on another port of the host: -p OTHER:" + str(port.container_port),
    )
