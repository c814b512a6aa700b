"""The `FileArchive` port over directories, with btrfs's own knowledge of what was written since the parent."""

from limosa.adapters.file_archive.loading import load
from limosa.adapters.file_archive.saving import save


class DirectoryFileArchive:
    """Both directions."""

    save = staticmethod(save)
    load = staticmethod(load)


__all__ = ["DirectoryFileArchive"]
