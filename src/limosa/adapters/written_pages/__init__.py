"""The `WrittenPages` port: by userfaultfd, by soft-dirty bits, or by digests (docs/adr/0032)."""

from collections.abc import Callable, Sequence

from limosa.linux import pagemap, pagemap_scan, userfaultfd
from limosa.model.ids import ContainerId
from limosa.ports.written_pages import WrittenPages


def open_written_pages(
    directory_of: Callable[[ContainerId], str],
    program: Sequence[str],
    *,
    dumps_skip: Callable[[], bool],
    checked: bool = False,
) -> WrittenPages:
    """Return the best that this kernel has, found out by trying.

    `directory_of` says where things are that go when a container's processes do; `program` becomes
    keeper/descriptors.py; `dumps_skip` says whether a dump can leave out what is followed.
    `checked` copies everything, too, for the commit to be held against.
    """
    if userfaultfd.can_mark() and pagemap_scan.tells_guards() and dumps_skip():
        from limosa.adapters.written_pages.by_userfaultfd import UserfaultfdPages

        return UserfaultfdPages(directory_of, program, checked=checked)
    if pagemap.soft_dirty_works():
        from limosa.adapters.written_pages.by_soft_dirty import SoftDirtyPages

        return SoftDirtyPages(directory_of, checked=checked)
    from limosa.adapters.written_pages.by_digest import ComparedPages

    return ComparedPages(checked=checked)
