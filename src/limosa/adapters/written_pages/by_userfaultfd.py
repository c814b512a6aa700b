"""Written pages by asynchronous write protection and PAGEMAP_SCAN, Linux 6.7 and later.

Which memory is followed is nobody's belief but the kernel's own word, `PAGE_IS_WPALLOWED`, at the moment at which
everything stands still: a mapping that lost its mark (remapped, forked, new, its holder dead) simply is not, and the
dump has it. Of the record one thing is believed: since which commit a process's marks count.
"""

import errno
import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import compress

from limosa.adapters.written_pages import ahead, discarded, failures, holder, unread, witness
from limosa.adapters.written_pages.copies import Copies
from limosa.adapters.written_pages.followed import NOBODY, FollowedProcess, Record, Records
from limosa.linux import pagemap_scan, process, process_memory, userfaultfd
from limosa.linux.pagemap_scan import FILE, PRESENT, SWAPPED, WP_ALLOWED, WRITTEN, ZERO
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.written_pages import EarlierCopy, KeepAhead, ProcessMemory

_WORTH_BYTES: Final = 16 << 20  # copied in 5 ms: less is not worth stopping every thread once more
_ROUNDS: Final = 3
_MOST_PROCESSES: Final = 512  # one descriptor each, here and in the holder


class UserfaultfdPages:
    """Written pages of the containers of one root."""

    name: Final = "userfaultfd"
    skips: Final = True

    def __init__(
        self,
        directory_of: Callable[[ContainerId], str],
        program: Sequence[str],
        *,
        checked: bool = False,
        worth_bytes: int = _WORTH_BYTES,
    ) -> None:
        """`program` becomes keeper/descriptors.py; it gets the container's id appended.

        `checked` and `worth_bytes`: what is written less than this is copied while everything stands still only.
        """
        self._records, self._program = Records(directory_of), tuple(program)
        self._checked, self._worth_bytes = checked, worth_bytes

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
        program = (*self._program, container_id)
        with ExitStack() as opened:
            following = _Following(self._records, container_id, program, parent, Copies(scratch), self._checked)
            opened.callback(following.close)
            following.join(list(pids)[:_MOST_PROCESSES])
            following.hold(init_pid)
            following.copy_ahead(pids, self._worth_bytes, keep_ahead)
            yield following


class _Following:
    """See the port."""

    def __init__(
        self,
        records: Records,
        container_id: ContainerId,
        program: tuple[str, ...],
        parent: str,
        copies: Copies,
        checked: bool,
    ) -> None:
        self._records, self._container_id, self._program = records, container_id, program
        self._parent, self._copies, self._checked = parent, copies, checked
        self._record = records.load(container_id)
        self._followed: dict[FollowedProcess, int] = {}  # to a descriptor here
        self._captured: list[FollowedProcess] = []
        self._ahead: dict[FollowedProcess, tuple[EarlierCopy, ...]] = {}
        self._spoiled: set[FollowedProcess] = set()  # marks are gone, and what they said
        self._reset = False
        self._ranges = pagemap_scan.Ranges()

    def close(self) -> None:
        """Give descriptors back; the holder has its own."""
        while self._followed:
            os.close(self._followed.popitem()[1])

    # Before anything stands still

    def join(self, pids: Sequence[int]) -> None:
        """Have a userfaultfd for each process, and every mapping marked that can be."""
        strays_ended = False
        with holder.opened(self._record.holder) as pidfd:
            known = {(one.pid, one.start_ticks): one for one in self._record.processes} if pidfd is not None else {}
            for pid in pids:
                try:
                    if not self._join(pid, pidfd, known) and not strays_ended:
                        strays_ended = True
                        if holder.end_strays(self._program, self._record.holder):
                            self._join(pid, pidfd, known)
                except OSError:
                    continue  # it is not followed, and the dump has all of it

    def _join(self, pid: int, pidfd: int | None, known: dict[tuple[int, int], FollowedProcess]) -> bool:
        """Follow one; False if somebody else does: another process with the same memory, or a holder unknown to us."""
        ticks = process.start_ticks(pid)
        one = known.get((pid, ticks))
        descriptor = holder.taken(pidfd, one.descriptor) if pidfd is not None and one is not None else None
        if one is None or descriptor is None or not self._mark(one, descriptor):
            # Of a process that executes another program now, the old memory's descriptor marks nothing.
            one = FollowedProcess(pid, ticks)
            return self._mark(one, userfaultfd.from_outside(pid))
        return True

    def _mark(self, one: FollowedProcess, descriptor: int) -> bool:
        marked = False
        try:
            for mapping in process_memory.mappings(one.pid):
                if mapping.of_program and mapping.end <= pagemap_scan.END:
                    marked = _marked(descriptor, mapping) or marked
        except OSError as failed:
            os.close(descriptor)
            if failed.errno == errno.EBUSY:
                return False
            raise
        if marked:
            self._followed[one] = descriptor
        else:
            os.close(descriptor)
        return marked

    def hold(self, init_pid: int) -> None:
        """See to a holder that has exactly what is here. Without one nothing is followed after this command."""
        before = self._record
        if set(self._followed) == set(before.processes):
            self._records.prepare_reset(self._container_id, before)
            return
        holding = NOBODY
        if self._followed:
            try:
                holding = holder.start(self._program, init_pid, list(self._followed.values()))
            except OSError:
                pass
        numbers = holder.numbers(len(self._followed))
        self._followed = {
            one._replace(descriptor=number): descriptor
            for (one, descriptor), number in zip(self._followed.items(), numbers, strict=True)
        }
        self._record = Record("", holding, tuple(self._followed) if holding[0] else ())
        self._records.save(self._container_id, self._record)
        self._records.prepare_reset(self._container_id, self._record)
        holder.end(before.holder)

    def copy_ahead(self, pids: Sequence[int], worth_bytes: int, keep: KeepAhead | None) -> None:
        """Copy what was written while it is worth it, and have memory for the copies that are still to be made.

        The first of these copies, which is the largest, goes to `keep`: of what is kept and written again, the store
        has both.
        """
        expected_bytes = self._expected_bytes()
        for turn in range(_ROUNDS):
            if expected_bytes < worth_bytes or not self._copied_ahead(pids, keep if turn == 0 else None):
                break
            before_bytes, expected_bytes = expected_bytes, self._expected_bytes()
            if expected_bytes > before_bytes // 2:
                break
        self._copies.make_room(expected_bytes)

    def _expected_bytes(self) -> int:
        expected_bytes = 0
        for one in self._followed:
            try:
                ranges = self._scan(one.pid, all_of=self._wanted(one))
            except OSError:
                continue
            expected_bytes += sum(ranges[1::3]) - sum(ranges[0::3])
        return expected_bytes

    def _wanted(self, one: FollowedProcess) -> int:
        return WP_ALLOWED | (WRITTEN if self._counts(one) or one in self._ahead else 0)

    def _copied_ahead(self, pids: Sequence[int], keep: KeepAhead | None) -> bool:
        """Copy what was written, once; False if that is not to be relied on. Marks count from here on."""
        self._forget_marks()
        found: list[tuple[FollowedProcess, array[int]]] = []
        for one in self._followed:
            try:
                if ahead.possible(one.pid):
                    found.append((one, self._scan(one.pid, all_of=self._wanted(one), protect=True)))
            except OSError:
                self._spoiled.add(one)
        if not ahead.all_passed(pids):
            self._spoiled.update(one for one, _ in found)
            return False
        for one, ranges in found:
            starts, ends = ranges[0::3], ranges[1::3]
            both = array("Q", bytes(16 * len(starts)))
            both[0::2], both[1::2] = starts, ends
            copy = self._copy(one, both, keep)
            if copy is None:  # something was unmapped meanwhile
                self._spoiled.add(one)
                continue
            self._ahead[one] = (*self._ahead.get(one, ()), copy)
        return True

    def _copy(self, one: FollowedProcess, ranges: "array[int]", keep: KeepAhead | None) -> EarlierCopy | None:
        starts, ends = ranges[0::2], ranges[1::2]
        if keep is None:
            try:
                return EarlierCopy(ranges, self._copies.take(one.pid, starts, ends))
            except OSError:
                return None
        try:
            inside = process.pid_inside(one.pid)
        except OSError:
            return None
        try:
            return EarlierCopy(
                ranges, memoryview(b""), keep(inside, self._counts(one), unread.of(one.pid, starts, ends))
            )
        except unread.Gone:
            return None

    def _forget_marks(self) -> None:
        if not self._reset:
            self._records.reset(self._container_id)
            self._reset = True

    def _counts(self, one: FollowedProcess) -> bool:
        return one.since != "" and one.since == self._parent

    def _scan(self, pid: int, *, all_of: int, protect: bool = False) -> "array[int]":
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return self._ranges.scan(
                pagemap,
                all_of=all_of,
                none_of=FILE | ZERO,
                any_of=PRESENT | SWAPPED,
                tell=WRITTEN | SWAPPED,
                protect=protect,
            )
        finally:
            os.close(pagemap)

    # While everything stands still

    def witness(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        return witness.taken(self._checked, pids, self._copies)

    def capture(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        self._forget_marks()
        followed = {one.pid: one for one in self._followed}
        memories = []
        try:
            # Those that are not followed come last, and leave marks alone: what one of them shows is another's memory.
            for pid in sorted(pids, key=lambda pid: pid not in followed):
                one = followed.get(pid)
                memory = self._memory(pid, one)
                if memory is not None:
                    memories.append(memory)
                if one is not None:
                    self._captured.append(one)
        except OSError as failed:
            raise failures.unreadable(failed) from failed
        return memories

    def _memory(self, pid: int, one: FollowedProcess | None) -> ProcessMemory | None:
        try:
            ranges = discarded.left_out(pid, self._scan(pid, all_of=WP_ALLOWED, protect=one is not None))
        except ProcessLookupError:  # it has ended and nobody has waited for it
            return None
        if not ranges:
            return None
        starts, ends = ranges[0::3], ranges[1::3]
        reliable = one is not None and one not in self._spoiled
        since_parent = one is not None and reliable and self._counts(one)
        earlier = self._ahead.get(one, ()) if one is not None and reliable else ()
        if since_parent or earlier:
            marks = array("B", bytes(map(_MARKS.__getitem__, ranges[2::3])))
            if _UNSURE in marks:
                _settle_unsure(pid, starts, ends, marks)
            ranges[2::3] = array("Q", marks)
            starts, ends = array("Q", compress(starts, marks)), array("Q", compress(ends, marks))
        return ProcessMemory(
            process.pid_inside(pid), ranges, self._copies.take(pid, starts, ends), since_parent, earlier
        )

    # After everything goes on

    def settle(self, commit: str) -> None:
        """See the port."""
        captured = set(self._captured)
        processes = tuple(one._replace(since=commit if one in captured else "") for one in self._followed)
        self._records.save(self._container_id, self._record._replace(processes=processes))


# By a range's categories: not written, written, and swapped without having been written.
_UNSURE: Final = 2
_MARKS: Final = {0: 0, WRITTEN: 1, WRITTEN | SWAPPED: 1, SWAPPED: _UNSURE}


def _settle_unsure(pid: int, starts: "array[int]", ends: "array[int]", marks: "array[int]") -> None:
    """Decide about pages that are swapped out and not written.

    In a private mapping of a file such a page may also be one that was discarded, where the kernel does not let us see
    its marker: what the process sees there is the file again. So it counts as written.
    """
    of_files = discarded.of_files(pid)
    for at, mark in enumerate(marks):
        if mark == _UNSURE:
            marks[at] = any(first < ends[at] and starts[at] < end for first, end in of_files)


def _marked(descriptor: int, mapping: process_memory.Mapping) -> bool:
    try:
        userfaultfd.register(descriptor, mapping.first, mapping.end - mapping.first)
    except OSError as failed:
        if failed.errno == errno.EBUSY:
            raise
        return False  # of a kind that cannot be marked, or gone
    return True
