"""Written pages by soft-dirty bits, for kernels before 6.7: the dump has every page, the written ones are stored.

Memory that was mapped, remapped or got by a new program since is soft-dirty as a whole. Nobody has to hold anything.
Source: Linux Documentation/admin-guide/mm/soft-dirty.rst.
"""

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from limosa.adapters.written_pages import failures, witness
from limosa.adapters.written_pages.copies import Copies
from limosa.adapters.written_pages.followed import FollowedProcess, Record, Records
from limosa.linux import pagemap, process
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.written_pages import KeepAhead, ProcessMemory


class SoftDirtyPages:
    """Written pages of the containers of one root."""

    name: Final = "soft-dirty"
    skips: Final = False

    def __init__(self, directory_of: Callable[[ContainerId], str], *, checked: bool = False) -> None:
        self._records, self._checked = Records(directory_of), checked

    @contextmanager
    def following(
        self,
        container_id: ContainerId,
        init_pid: int,
        pids: Sequence[int],
        parent: str,
        scratch: str,
        keep_ahead: KeepAhead | None = None,
    ) -> Iterator["_Following"]:
        """See the port."""
        del init_pid, pids, keep_ahead  # everything is read from the dump
        record = self._records.load(container_id)
        self._records.prepare_reset(container_id, record)
        yield _Following(self._records, container_id, record, parent, Copies(scratch), self._checked)


class _Following:
    """See the port."""

    def __init__(
        self, records: Records, container_id: ContainerId, record: Record, parent: str, copies: Copies, checked: bool
    ) -> None:
        self._records, self._container_id, self._copies, self._checked = records, container_id, copies, checked
        self._known = {one[:2] for one in record.processes if one.since and one.since == parent}
        self._captured: list[FollowedProcess] = []

    def witness(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        return witness.taken(self._checked, pids, self._copies)

    def capture(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        self._records.reset(self._container_id)
        memories = []
        shown: dict[int, array[int]] = {}
        try:
            for pid in pids:  # all are looked at before the first bit is cleared: two may have one memory
                shown[pid] = witness.ranges(pid, pagemap.SOFT_DIRTY)
            for pid in pids:
                one = FollowedProcess(pid, process.start_ticks(pid))
                if one[:2] in self._known:
                    memories.append(self._memory(pid, shown[pid]))
                pagemap.clear_soft_dirty(pid)
                self._captured.append(one)
        except OSError as failed:
            raise failures.unreadable(failed) from failed
        return memories

    def _memory(self, pid: int, ranges: "array[int]") -> ProcessMemory:
        written = [at for at in range(0, len(ranges), 3) if ranges[at + 2]]
        starts, ends = (array("Q", (ranges[at + step] for at in written)) for step in (0, 1))
        return ProcessMemory(process.pid_inside(pid), ranges, self._copies.take(pid, starts, ends), since_parent=True)

    def settle(self, commit: str) -> None:
        """See the port."""
        processes = tuple(one._replace(since=commit) for one in self._captured)
        self._records.save(self._container_id, Record("", processes=processes))
