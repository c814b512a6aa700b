"""What both layouts have in common: making, finding, emptying and removing a container's groups."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.adapters.cgroups import places, subtree
from limosa.adapters.cgroups.places import Place
from limosa.linux import cgroupfs, flock
from limosa.model.cgroup import CgroupNode
from limosa.model.container import Limits
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ID_DIGITS, ContainerId, looks_like_id

EXEC_LEAF: Final = "limosa-exec"
_KILL_SECONDS: Final = 5.0
_BUSY_SECONDS: Final = 2.0
_FIRST_STEP_SECONDS: Final = 0.0005
_LAST_STEP_SECONDS: Final = 0.02


class ContainerGroups:
    """One group per container in every hierarchy: `<parent>/<name of the root>/<container id>`."""

    def __init__(self, name: str, run_directory: str) -> None:
        """`name` is this root's own group, "limosa" or "limosa-<hash>"."""
        self._name = name
        self._record = f"{run_directory}/cgroups"
        self._known: tuple[Place, ...] = ()

    def _places(self) -> tuple[Place, ...]:
        self._known = self._known or places.remembered(self._name, self._record)
        return self._known

    def _owned_files(self, place: Place) -> frozenset[str]:
        """Return the files that the owner of a delegated group may have."""
        if place.hierarchy.unified:
            return cgroupfs.delegatable_files()
        return frozenset(("cgroup.procs", "tasks", "cgroup.clone_children"))

    def _prepare(self, place: Place, directory: str, parent: str) -> None:
        """Make the new group `directory` fit for use, before anything is in it."""

    def _limit(self, container_id: ContainerId, limits: Limits, *, fresh: bool) -> None:
        raise NotImplementedError

    def _kill_once(self, container_id: ContainerId, timeout_s: float) -> None:
        raise NotImplementedError

    def create(self, container_id: ContainerId, limits: Limits, owner_id: int) -> None:
        """See the port."""
        self._known = ()  # it may have been remembered when another group was the parent
        found = self._places()
        try:
            with flock.locked(f"{self._record}.lock", exclusive=False):  # close() waits
                for place in found:
                    self._make(place, container_id)
                    if owner_id:
                        self._delegate(place, place.directory(container_id), owner_id)
            self._limit(container_id, limits, fresh=True)
        except OSError as error:
            self.destroy(container_id)
            raise LimosaError(
                "LIM-CGRP-001",
                "the container's cgroups cannot be made",
                cause=words_of(error),
                hint="limosa doctor shows what this machine can do",
            ) from error
        except LimosaError:
            self.destroy(container_id)
            raise

    def _make(self, place: Place, container_id: ContainerId) -> None:
        above = os.path.dirname(place.directory())
        for directory in (place.directory(), place.directory(container_id)):
            cgroupfs.make(directory)
            self._prepare(place, directory, above)
            above = directory

    def _delegate(self, place: Place, directory: str, owner_id: int) -> None:
        os.chown(directory, owner_id, owner_id)
        for file in self._owned_files(place):
            try:
                os.chown(f"{directory}/{file}", owner_id, owner_id)
            except FileNotFoundError:
                continue

    def set_limits(self, container_id: ContainerId, limits: Limits) -> None:
        """See the port."""
        self._require(container_id)
        self._limit(container_id, limits, fresh=False)

    def _require(self, container_id: ContainerId) -> None:
        if not os.path.isdir(self._places()[0].directory(container_id)):
            raise LimosaError(
                "LIM-CGRP-004", f"{container_id} has no cgroups", cause="it does not run", hint="start it first"
            )

    def procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """See the port."""
        return tuple(_entrance(place, place.directory(container_id)) for place in self._places())

    def exec_procs_files(self, container_id: ContainerId) -> tuple[str, ...]:
        """See the port."""
        self._require(container_id)
        files = []
        for place in self._places():
            directory = place.directory(container_id)
            if place.hierarchy.unified and cgroupfs.read(f"{directory}/cgroup.subtree_control"):
                directory = f"{directory}/{EXEC_LEAF}"
                cgroupfs.make(directory)
            files.append(_entrance(place, directory))
        return tuple(files)

    def criu_root(self, container_id: ContainerId) -> tuple[tuple[str, str], ...]:
        """See the port."""
        return tuple((",".join(one.hierarchy.controllers), one.group(container_id)) for one in self._places())

    def processes(self, container_id: ContainerId) -> list[int]:
        """See the port."""
        found: set[int] = set()
        for place in self._places():
            for directory in cgroupfs.groups(place.directory(container_id)):
                found.update(cgroupfs.processes(directory))
        return sorted(found)

    def kill(self, container_id: ContainerId) -> None:
        """See the port."""
        deadline = time.monotonic() + _KILL_SECONDS
        for _ in _steps(deadline):
            if not self.processes(container_id):
                return
            self._kill_once(container_id, deadline - time.monotonic())
        left = self.processes(container_id)
        if left:
            raise TimeoutError(f"{len(left)} processes of {container_id} do not end, such as {left[0]}")

    def save_subtree(self, container_id: ContainerId) -> tuple[CgroupNode, ...]:
        """See the port."""
        found: list[CgroupNode] = []
        for place in self._places():
            found += subtree.saved(place.hierarchy.name, place.directory(container_id), self._owned_files(place))
        return tuple(found)

    def restore_subtree(self, container_id: ContainerId, nodes: tuple[CgroupNode, ...]) -> None:
        """See the port."""
        self._require(container_id)
        here = {place.hierarchy.name: place for place in self._places()}
        for node in nodes:
            if node.path and node.hierarchy not in here:
                raise subtree.cannot(node, f"this machine has no cgroup hierarchy {node.hierarchy}")
        for name, place in here.items():
            own = [node for node in nodes if node.hierarchy == name]
            subtree.recreate(own, place.directory(container_id), self._owned_files(place))

    def destroy(self, container_id: ContainerId) -> None:
        """See the port."""
        for place in self._places():
            for directory in reversed(list(cgroupfs.groups(place.directory(container_id)))):
                self._remove(directory)

    def end(self, container_id: ContainerId) -> None:
        """See the port."""
        deadline = time.monotonic() + _KILL_SECONDS
        while True:
            self.kill(container_id)
            try:
                return self.destroy(container_id)
            except LimosaError:
                if time.monotonic() > deadline:
                    raise

    def _remove(self, directory: str) -> None:
        """Remove one group; a process that is dying keeps it busy for a moment."""
        deadline = time.monotonic() + _BUSY_SECONDS
        for _ in _steps(deadline):
            try:
                return cgroupfs.remove(directory)
            except FileNotFoundError:
                return None
            except OSError as busy:
                if busy.errno != errno.EBUSY:
                    raise
            if left := cgroupfs.processes(directory):
                raise LimosaError(
                    "LIM-CGRP-003",
                    "the container's cgroups cannot be removed",
                    state="its processes run on",
                    cause=f"{directory} has processes: {', '.join(map(str, left[:5]))}",
                    hint="limosa recover",
                )
        raise LimosaError(
            "LIM-CGRP-003", "the container's cgroups cannot be removed", cause=f"{directory} stays busy", hint="later"
        )

    def present(self) -> list[ContainerId]:
        """See the port."""
        found: set[str] = set()
        for place in self._places():
            try:
                found.update(os.listdir(place.directory()))
            except FileNotFoundError:
                continue
        return [ContainerId(name) for name in sorted(found) if len(name) == ID_DIGITS and looks_like_id(name)]

    def close(self) -> None:
        """See the port."""
        found = self._places()
        with flock.locked(f"{self._record}.lock"):
            for place in found:
                try:
                    cgroupfs.remove(place.directory())
                except OSError as error:
                    if error.errno not in (errno.ENOENT, errno.EBUSY, errno.ENOTEMPTY):
                        raise

    @contextmanager
    def _gone_is_fine(self) -> Iterator[None]:
        """Let a method end quietly when the group vanishes under it."""
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise


def _entrance(place: Place, directory: str) -> str:
    """Return the file of a group that a process with one thread writes itself into.

    A thread that moves itself alone, by v1's `tasks`, waits for nobody; by `cgroup.procs` it waits 5 to 20 ms, and lets
    the whole machine wait, so on v2 one is better born there (enter.pl).
    """
    return f"{directory}/{'cgroup.procs' if place.hierarchy.unified else 'tasks'}"


def _steps(deadline: float) -> Iterator[None]:
    """Yield at least once, then after ever longer pauses, until `deadline` (time.monotonic) has gone by."""
    pause_s = _FIRST_STEP_SECONDS
    while True:
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_STEP_SECONDS)
