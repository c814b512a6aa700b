"""SIGKILL at each call to the kernel, fifty commands at once, and what is found afterwards."""

import itertools
import json
import os
import signal
import traceback
from collections.abc import Callable

import laboratory
import pytest

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.linux import atomic_file, netlink, nftables, sysctl
from limosa.model.container import NetworkRequest, PublishedPort
from limosa.model.ids import ContainerId
from limosa.ports.network import Network

pytestmark = pytest.mark.privileged

ONE = ContainerId("1" * 24)
REFUSED, NOT_MET = 3, 4  # how an attempt to connect ended; 0 is that it stood the failure of a call
PORTS = (PublishedPort(8080, 80), PublishedPort(8080, 80, "udp", "198.51.100.1"))


def in_child(action: Callable[[], None]) -> int:
    """Do something in a child process on this host, and return its wait status."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitpid(pid, 0)[1]


class Saboteur:
    """Ends the process, or fails the call, at the `nth` call that changes something."""

    def __init__(self, nth: int, strike: Callable[[], None]) -> None:
        self._left = nth
        self._strike = strike
        for owner, name in (
            (netlink.RouteSocket, "change"),
            (nftables.Nft, "run"),
            (sysctl, "write"),
            (atomic_file, "replace"),
        ):
            self._guard(owner, name)

    def _guard(self, owner: object, name: str) -> None:
        original = getattr(owner, name)

        def guarded(*arguments: object, **options: object) -> object:
            self._left -= 1
            if self._left == 0:
                self._strike()
            return original(*arguments, **options)

        setattr(owner, name, guarded)

    @property
    def struck(self) -> bool:
        return self._left <= 0


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise OSError(5, "injected")


def everything(root: str, kind: str, pid: int) -> None:
    """The life of a container on a network of its own."""
    networks = BridgeNetworks(root)
    request, ports = NetworkRequest("net", ipv4="198.51.100.50"), PORTS
    if kind == "bridge":
        networks.create(Network("net"))
        request = NetworkRequest("net")
    elif kind == "routed":
        networks.create(Network("net", kind="routed", uplink="up0"))
    else:
        networks.create(Network("net", kind="uplink", uplink="up0"))
        ports = ()
    networks.reserve(ONE, "one", request, ports)
    networks.connect(ONE, pid)
    if ports:
        networks.set_ports(ONE, (PublishedPort(8081, 80),))
    networks.disconnect(ONE)
    networks.forget(ONE)
    networks.remove("net")


@pytest.mark.parametrize("kind", ["bridge", "routed", "uplink"])
def test_a_kill_at_any_call_leaves_what_recovery_finds_and_removes(site, state_of_host, kind) -> None:
    before = forwarding_of(state_of_host)
    points = 0
    while True:
        points += 1
        guest = laboratory.Guest()
        status = in_child(lambda: (Saboteur(points, die), everything(site.root, kind, guest.pid)))  # noqa: B023
        assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
        guest.kill()
        recover(site.root)
        assert forwarding_of(state_of_host) == before, f"killed at call {points}"
        if not os.WIFSIGNALED(status):
            break
    assert points > {"bridge": 40, "routed": 30, "uplink": 30}[kind]


def forwarding_of(state_of_host: Callable[[], str]) -> str:
    """The state of the host, when a namespace that just died has taken its interfaces with it."""
    laboratory.until(lambda: "@if" not in laboratory.sh("ip -o link | grep -v up0 || true"))
    return state_of_host()


def recover(root: str) -> None:
    """What `limosa recover` does about networks when no container runs."""
    networks = BridgeNetworks(root)
    for container_id in {*networks.present(), *(one.container_id for one in networks.attachments())}:
        networks.forget(container_id)
    networks.tidy()
    for network in networks.all():
        if network.name == "net":
            networks.remove("net")
    assert networks.present() == []


@pytest.mark.parametrize("kind", ["bridge", "routed"])
def test_a_connect_that_fails_at_any_call_leaves_nothing_and_works_the_next_time(site, state_of_host, kind) -> None:
    networks = site.networks
    uplink = "up0" if kind == "routed" else ""
    networks.create(Network("net", kind=kind, uplink=uplink))
    request = NetworkRequest("net", ipv4="198.51.100.50" if uplink else "")
    networks.reserve(ONE, "one", request, PORTS)
    before = forwarding_of(state_of_host)
    guest = laboratory.Guest()
    try:
        failures = 0
        for point in itertools.count(1):
            status = in_child(lambda: attempt(site.root, point, guest.pid))  # noqa: B023
            if os.waitstatus_to_exitcode(status) != REFUSED:
                networks.disconnect(ONE)
            else:
                failures += 1
            assert forwarding_of(state_of_host) == before, f"failed at call {point}"
            if os.waitstatus_to_exitcode(status) == NOT_MET:
                break
        assert failures > 5
        networks.connect(ONE, guest.pid)
        assert networks.present() == [ONE]
    finally:
        guest.kill()


def attempt(root: str, point: int, pid: int) -> None:
    from limosa.model.errors import LimosaError

    networks = BridgeNetworks(root)
    saboteur = Saboteur(point, fail)
    try:
        networks.connect(ONE, pid)
    except LimosaError as error:
        assert error.code == "LIM-NET-010", error
        os._exit(REFUSED)
    os._exit(0 if saboteur.struck else NOT_MET)


def test_fifty_commands_at_once_get_fifty_addresses_and_ports(site, tmp_path) -> None:
    ids = [ContainerId(f"{number:024x}") for number in range(1 << 80, (1 << 80) + 50)]
    site.networks.all()

    def one(number: int) -> None:
        networks = BridgeNetworks(site.root)
        ports = (PublishedPort(9000 + number, 80), PublishedPort(0, 81))
        networks.reserve(ids[number], f"c{number}", NetworkRequest(), ports)

    pids = []
    for number in range(50):
        pid = os.fork()
        if pid == 0:
            try:
                one(number)
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 50
    found = site.networks.attachments()
    assert {one.container_id for one in found} == set(ids)
    for values in ({one.addresses.ipv4 for one in found}, {one.addresses.ipv6 for one in found}):
        assert len(values) == 50
    assert len({port.host_port for one in found for port in one.ports}) == 100


def test_twenty_containers_connect_and_disconnect_at_once(site, state_of_host) -> None:
    """Some are the last to leave and take the bridge away while others arrive."""
    before = forwarding_of(state_of_host)
    guests = [laboratory.Guest() for _ in range(20)]
    ids = [site.new_id() for _ in guests]
    try:
        pids = []
        for number, guest in enumerate(guests):
            pid = os.fork()
            if pid == 0:
                try:
                    networks = BridgeNetworks(site.root)
                    networks.reserve(ids[number], f"c{number}", NetworkRequest(), (PublishedPort(9000 + number, 80),))
                    for _ in range(3):
                        networks.connect(ids[number], guest.pid)
                        networks.disconnect(ids[number])
                    networks.forget(ids[number])
                    os._exit(0)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            pids.append(pid)
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * 20
    finally:
        for guest in guests:
            guest.kill()
    site.networks.tidy()
    assert forwarding_of(state_of_host) == before


def test_what_was_prepared_may_be_gone_at_the_connect(site) -> None:
    site.networks.reserve(ONE, "one", NetworkRequest(), PORTS)
    guest = laboratory.Guest()
    try:
        site.networks.prepare(ONE)
        BridgeNetworks(site.root).tidy()
        assert "lmb" not in laboratory.sh("ip -o link")
        site.networks.connect(ONE, guest.pid)
        server = laboratory.Echo(guest.namespace, 80)
        assert laboratory.ask(site.outside.namespace, "198.51.100.1", 8080)
        server.close()
    finally:
        guest.kill()


def test_a_port_of_a_host_process_is_refused_with_its_name(site) -> None:
    from limosa.model.errors import LimosaError

    for protocol in ("tcp", "udp"):
        with laboratory.listening(protocol, 8080), pytest.raises(LimosaError) as refused:
            site.networks.reserve(ONE, "one", NetworkRequest(), (PublishedPort(8080, 80, protocol),))
        assert refused.value.code == "LIM-NET-005"
        assert f"(pid {os.getpid()})" in refused.value.cause
    with pytest.raises(LimosaError) as refused:
        site.networks.reserve(ONE, "one", NetworkRequest(), (PublishedPort(8080, 80, "tcp", "203.0.113.1"),))
    assert refused.value.code == "LIM-NET-008"
    assert site.networks.attachments() == []


def test_a_damaged_record_is_said_to_be_one(site) -> None:
    from limosa.model.errors import LimosaError

    site.networks.all()
    path = f"{site.root}/networks/state.json"
    with open(path) as file:
        whole = file.read()
    json.loads(whole)
    with open(path, "w") as file:
        file.write(whole[: len(whole) // 2])
    with pytest.raises(LimosaError) as refused:
        site.networks.attachments()
    assert refused.value.code == "LIM-NET-011"


def test_what_a_killed_command_had_not_finished_writing_is_swept(site) -> None:
    site.networks.reserve(ONE, "one", NetworkRequest(), ())
    unfinished = [f"{site.root}/networks/{name}.new" for name in ("state.json", "passing.json")]
    for path in unfinished:
        with open(path, "w", encoding="ascii") as file:
            file.write("{")
    site.networks.sweep()
    assert [path for path in unfinished if os.path.exists(path)] == []
    assert site.networks.attachment(ONE) is not None


def test_a_subnet_that_the_host_uses_is_not_taken(site) -> None:
    from limosa.model.errors import LimosaError

    with pytest.raises(LimosaError) as refused:
        site.networks.create(Network("a", ipv4_subnet="198.51.100.128/25"))
    assert refused.value.code == "LIM-NET-001" and "198.51.100.0/24" in refused.value.cause
    made = site.networks.create(Network("a"))
    laboratory.sh(f"ip route add {made.ipv4_subnet} dev up0")
    site.networks.reserve(ONE, "one", NetworkRequest("a"), ())
    with pytest.raises(LimosaError) as refused:
        site.networks.prepare(ONE)
    assert refused.value.code == "LIM-NET-010"
