"""What is reserved, in one file, so that each change is one atomic step.

    <root>/networks/
        state.json      {"version", "networks": {name: Network}, "leases": {id: Attachment + "withdrawn"},
                         "cursors": {network: offset of the address handed out last}}
        passing.json    {"boot", "leases", "cursors"}: leases of containers that go with their programs (`--rm`), and
                         newer cursors. Never waited for: it holds for one boot of the machine and then means nothing
        state.lock      held while state.json is changed (readers need no lock: it is replaced whole)
        build.lock      held while bridges and the table of rules are made or removed
        hosts.lock      held while the hosts files are written
        hosts/ID        the container's /etc/hosts, written in place
        resolv/ID       its /etc/resolv.conf, likewise

It is read as plain values: with 200 containers, turning every lease into a record would cost more than a connect.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import atomic_file, boot, files
from limosa.linux.flock import locked
from limosa.model import json_text
from limosa.model.codec import from_jsonable, to_jsonable
from limosa.model.container import PublishedPort
from limosa.model.errors import LimosaError
from limosa.model.hints import Any, Final
from limosa.model.ids import ContainerId
from limosa.model.value import NamedTuple
from limosa.ports.network import Attachment, Network

VERSION: Final = 1


class Lease(NamedTuple):
    """A reservation, and the ports of it that were given up but may still have a rule."""

    attachment: Attachment
    withdrawn: tuple[PublishedPort, ...] = ()

    @property
    def every_port(self) -> tuple[PublishedPort, ...]:
        """The ports that may have a rule."""
        return self.attachment.ports + self.withdrawn


class State:
    """The content of state.json at one moment; changes hold when `Book.changing` ends without an exception."""

    def __init__(self, values: dict[str, Any], passing: set[str]) -> None:
        """`passing` are the ids whose leases need not survive the machine's present boot."""
        self.values = values
        self.passing = passing

    def network(self, name: str) -> Network:
        """Return a network. Raises: LimosaError LIM-NET-003."""
        found = self.values["networks"].get(name)
        if found is None:
            raise LimosaError(
                "LIM-NET-003", f"there is no network called {name!r}", hint="limosa network ls shows them"
            )
        return from_jsonable(Network, found)

    def networks(self) -> list[Network]:
        """Return all networks by name."""
        return [from_jsonable(Network, value) for _, value in sorted(self.values["networks"].items())]

    def put_network(self, network: Network) -> None:
        """Add or replace a network."""
        self.values["networks"][network.name] = to_jsonable(network)

    def drop_network(self, name: str) -> None:
        """Remove a network."""
        self.values["networks"].pop(name, None)
        for key in (name, f"{name}/6"):
            self.values["cursors"].pop(key, None)

    def lease(self, container_id: ContainerId) -> Lease | None:
        """Return the reservation of a container, or None."""
        found = self.values["leases"].get(container_id)
        return None if found is None else _lease(found)

    def leases(self) -> list[Lease]:
        """Return all reservations."""
        return [_lease(found) for found in self.values["leases"].values()]

    def raw_leases(self) -> dict[str, dict[str, Any]]:
        """Return the reservations as plain values by container id, to look through many of them."""
        leases: dict[str, dict[str, Any]] = self.values["leases"]
        return leases

    def put_lease(self, lease: Lease, *, passing: bool = False) -> None:
        """Add or replace a reservation; one that is `passing` stays so."""
        if passing:
            self.passing.add(lease.attachment.container_id)
        value = to_jsonable(lease.attachment)
        value["withdrawn"] = to_jsonable(lease.withdrawn)
        self.values["leases"][lease.attachment.container_id] = value

    def drop_lease(self, container_id: ContainerId) -> None:
        """Remove a reservation."""
        self.values["leases"].pop(container_id, None)
        self.passing.discard(container_id)

    def lasting(self) -> dict[str, Any]:
        """Return what is to be in state.json."""
        leases = {key: lease for key, lease in self.values["leases"].items() if key not in self.passing}
        return {**self.values, "leases": leases}

    def of_this_boot(self) -> str:
        """Return what is to be in passing.json."""
        leases = {key: lease for key, lease in self.values["leases"].items() if key in self.passing}
        return json_text.dumps({"boot": boot.boot_id(), "leases": leases, "cursors": self.values["cursors"]})


def _lease(value: dict[str, Any]) -> Lease:
    withdrawn = tuple(from_jsonable(PublishedPort, port) for port in value.get("withdrawn", ()))
    return Lease(from_jsonable(Attachment, value), withdrawn)


class Book:
    """Reads and changes state.json and passing.json."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._path = f"{directory}/state.json"
        self._passing = f"{directory}/passing.json"

    def read(self) -> State:
        """Return what is reserved now. Raises: LimosaError LIM-NET-011: the file is damaged."""
        try:
            with open(self._path, "rb") as file:
                values = json_text.loads(file.read())
        except FileNotFoundError:
            values = {"version": VERSION, "networks": {}, "leases": {}, "cursors": {}}
        except ValueError as damage:
            raise _damaged(self._path, str(damage)) from damage
        if not isinstance(values, dict) or values.get("version") != VERSION:
            raise _damaged(self._path, f"it is not of version {VERSION}")
        passing = self._read_passing()
        values["leases"].update(passing["leases"])
        values["cursors"].update(passing["cursors"])
        return State(values, set(passing["leases"]))

    def _read_passing(self) -> dict[str, Any]:
        try:
            with open(self._passing, "rb") as file:
                values = json_text.loads(file.read())
            if values["boot"] == boot.boot_id():
                return {"leases": values["leases"], "cursors": values["cursors"]}
        except FileNotFoundError:
            pass
        except (ValueError, TypeError, KeyError):  # the machine lost its power while it was written
            pass
        return {"leases": {}, "cursors": {}}

    @contextmanager
    def changing(self) -> Iterator[State]:
        """Yield the state under its lock, and keep it for good when the block ends without an exception."""
        os.makedirs(self.directory, mode=0o711, exist_ok=True)
        with locked(f"{self.directory}/state.lock"):
            state = self.read()
            lasting, passing = _compared(state), state.of_this_boot()
            yield state
            if (now := state.of_this_boot()) != passing:
                atomic_file.replace(self._passing, now.encode(), lasting=False, locked=True)
            if _compared(state) != lasting:
                atomic_file.replace(self._path, json_text.dumps(state.lasting()).encode(), locked=True)

    def sweep(self) -> None:
        """Remove what a killed command had not finished writing. Nothing is made where there is nothing yet."""
        if os.path.isdir(self.directory):
            with locked(f"{self.directory}/state.lock"):
                for path in (self._path, self._passing):
                    files.remove_file(f"{path}.new")

    @contextmanager
    def building(self) -> Iterator[None]:
        """Hold the lock under which bridges and rules are made."""
        os.makedirs(self.directory, mode=0o711, exist_ok=True)
        with locked(f"{self.directory}/build.lock"):
            yield


def _compared(state: State) -> str:
    """Return what is worth a wait for the disk: without new cursors, addresses only are given out again earlier."""
    return json_text.dumps({**state.lasting(), "cursors": {}})


def _damaged(path: str, cause: str) -> LimosaError:
    return LimosaError(
        "LIM-NET-011",
        "what containers have reserved on their networks cannot be read",
        cause=f"{path}: {cause}",
        hint="put back the file from a backup; running containers keep their addresses",
    )
