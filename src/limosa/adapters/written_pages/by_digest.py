"""The last resort: nothing is followed, the dump has every page, and the commit store compares their digests."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from limosa.adapters.written_pages import witness
from limosa.adapters.written_pages.copies import Copies
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.written_pages import KeepAhead, ProcessMemory


class ComparedPages:
    """Written pages on a kernel that does not tell."""

    name: Final = "digest"
    skips: Final = False

    def __init__(self, *, checked: bool = False) -> None:
        self._checked = checked

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
        del container_id, init_pid, pids, parent, keep_ahead
        yield _Following(Copies(scratch), self._checked)


class _Following:
    """See the port."""

    def __init__(self, copies: Copies, checked: bool) -> None:
        self._copies, self._checked = copies, checked

    def witness(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        return witness.taken(self._checked, pids, self._copies)

    def capture(self, pids: Sequence[int]) -> list[ProcessMemory]:
        """See the port."""
        del pids
        return []

    def settle(self, commit: str) -> None:
        """See the port."""
