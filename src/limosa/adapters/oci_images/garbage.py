"""What no name means any more, and what dead commands left."""

import os
from typing import Final

from limosa.adapters.oci_images.catalog import Catalog
from limosa.adapters.oci_images.layout import Layout
from limosa.linux import files
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import Digest
from limosa.model.value import NamedTuple
from limosa.ports.oci_images import DiskUse

_LAYER_DIGITS: Final = 64


class _Found(NamedTuple):
    """Paths without a use, by kind."""

    blobs: tuple[str, ...]
    layers: tuple[str, ...]
    known: tuple[str, ...]
    unfinished: tuple[str, ...]


class Garbage:
    """Finds and removes it."""

    def __init__(self, layout: Layout, catalog: Catalog, build_directory: str) -> None:
        self._layout = layout
        self._catalog = catalog
        self._build = build_directory

    def collect(self, layers_in_use: frozenset[Digest], *, wait: bool, build_cache: bool = False) -> int:
        """Remove everything without a use and return the bytes that became free; 0, without `wait`, if others work."""
        with self._layout.removing(wait=wait) as alone:
            if not alone:
                return 0
            try:
                found = self._find(layers_in_use)
            except LimosaError:
                if wait:
                    raise  # a damaged image: nobody knows what it needs
                return 0
            # What leads to something goes before it.
            freed = sum(_remove(path) for path in (*found.known, *found.unfinished, *found.blobs, *found.layers))
            if build_cache and os.path.isdir(self._build):
                freed += files.allocated_bytes(self._build)
                files.remove_tree(self._build)
            return freed

    def tidy(self) -> list[str]:
        """Remove what dead commands left; nothing happens while another command adds images."""
        if not self._unfinished():
            return []
        with self._layout.removing(wait=False) as alone:
            lines = []
            for path in self._unfinished() if alone else ():
                _remove(path)
                lines.append(f"removed the unfinished {os.path.relpath(path, os.path.dirname(self._layout.place))}")
            return lines

    def disk_use(self, layers_in_use: frozenset[Digest]) -> DiskUse:
        """Return what is taken."""
        found = self._find(layers_in_use)
        layers = [name for name in sorted(files.names_in(self._layout.layers)) if len(name) == _LAYER_DIGITS]
        unused = (*found.blobs, *found.layers, *found.known, *found.unfinished)
        return DiskUse(
            blobs_bytes=files.allocated_bytes(f"{self._layout.blobs}/sha256"),
            layers_bytes=sum(files.allocated_bytes(f"{self._layout.layers}/{name}") for name in layers),
            layers=len(layers),
            build_cache_bytes=files.allocated_bytes(self._build),
            unused_bytes=sum(_size(path) for path in unused),
        )

    def _find(self, layers_in_use: frozenset[Digest]) -> _Found:
        blobs: set[str] = set()
        known: set[str] = set()
        layers = {digest[7:] for digest in layers_in_use}
        for named in self._layout.names():
            image = self._catalog.image(named)
            try:
                manifest = self._catalog.manifest(named.manifest.digest)
            except (ValueError, FileNotFoundError) as damage:
                raise LimosaError(
                    "LIM-IMG-012",
                    f"the image {named.reference} is damaged",
                    cause=words_of(damage),
                    hint=f"limosa image pull {named.reference} brings it again, limosa image rm removes it",
                ) from damage
            known.add(f"{named.manifest.digest[7:]}.json")
            layers.update(digest[7:] for digest in image.layers)
            blobs.add(named.manifest.digest[7:])
            blobs.update(blob.digest[7:] for blob in (manifest.config, *manifest.layers))
        for image in self._catalog.nameless(layers_in_use):  # what commits need is sent with them
            manifest = self._catalog.manifest(image.digest)
            known.add(f"{image.digest[7:]}.json")
            blobs.add(image.digest[7:])
            blobs.update(blob.digest[7:] for blob in (manifest.config, *manifest.layers))
        place = self._layout.place
        return _Found(
            blobs=_without(f"{self._layout.blobs}/sha256", blobs),
            layers=tuple(
                path for path in _without(self._layout.layers, layers) if len(os.path.basename(path)) == _LAYER_DIGITS
            ),
            known=_without(f"{place}/known", known),
            unfinished=self._unfinished(),
        )

    def _unfinished(self) -> tuple[str, ...]:
        work, layers, blobs = f"{self._layout.place}/work", self._layout.layers, f"{self._layout.blobs}/sha256"
        return (
            *(
                f"{place}/{name}"
                for place in (blobs, self._layout.place)
                for name in sorted(files.names_in(place))
                if name.endswith(".new")
            ),
            *(f"{self._build}/{name}" for name in sorted(files.names_in(self._build)) if name != "storage"),
            *(f"{work}/{name}" for name in sorted(files.names_in(work))),
            *(f"{layers}/{name}" for name in sorted(files.names_in(layers)) if name.startswith(".")),
        )


def _without(directory: str, wanted: set[str]) -> tuple[str, ...]:
    return tuple(f"{directory}/{name}" for name in sorted(files.names_in(directory)) if name not in wanted)


def _size(path: str) -> int:
    return files.allocated_bytes(path) if os.path.isdir(path) else os.lstat(path).st_blocks * 512


def _remove(path: str) -> int:
    size = _size(path)
    if os.path.isdir(path) and not os.path.islink(path):
        # A layer loses its name first: a removal that is cut short leaves no half layer under it.
        doomed = f"{os.path.dirname(path)}/.removing-{os.path.basename(path)}"
        os.rename(path, doomed)
        files.remove_tree(doomed)
    else:
        files.remove_file(path)
    return size
