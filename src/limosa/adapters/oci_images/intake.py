"""How an image comes in: blobs and layers first, its name last."""

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from limosa.adapters.oci_images.catalog import Catalog
from limosa.adapters.oci_images.layers import LayerStore
from limosa.adapters.oci_images.layout import Layout, Named, only_manifest
from limosa.adapters.oci_images.tar_stream import MalformedTar
from limosa.model import oci
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import Digest
from limosa.model.oci import CONFIG, MANIFEST, PLAIN_ROOTFS, Descriptor, RootfsConfig
from limosa.ports.oci_images import OciImage, Progress

_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "riscv64": "riscv64"}


def architecture() -> str:
    """Return OCI's (that is Go's) name of this machine's architecture."""
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


class Intake:
    """Brings images into a layout; the caller is in `Layout.at_work`."""

    def __init__(self, layout: Layout, catalog: Catalog, layers: LayerStore) -> None:
        self._layout = layout
        self._catalog = catalog
        self._layers = layers

    def register(self, reference: str, manifest: Descriptor) -> OciImage:
        """Give an image whose blobs and layers are here a name. Raises: ValueError: its blobs contradict each other."""
        image = self._catalog.remember(manifest.digest)
        self._layout.rename(add=(Named(reference, manifest),))
        return image._replace(reference=reference)

    def register_pulled(self, reference: str, directory: str, progress: Progress) -> OciImage:
        """Unpack and name the image of a layout whose blobs were put among ours.

        Raises: ValueError, MalformedTar, OSError.
        """
        digest = only_manifest(directory)
        manifest = self._catalog.manifest(digest)
        config = oci.parse_config(self._layout.read_json(manifest.config.digest))
        _check_count(manifest, config)
        for blob, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
            self._layers.unpack_blob(self._layout.blob(blob.digest), diff_id, progress)
        size = os.stat(self._layout.blob(digest)).st_size
        return self.register(reference, Descriptor(MANIFEST, digest, size))

    def register_rootfs(
        self, reference: str, run: RootfsConfig, created: str, layer: tuple[Digest, Descriptor]
    ) -> OciImage:
        """Make an image of one layer and name it."""
        diff_id, blob = layer
        config = self._layout.add_json(oci.config_json(run, architecture(), created, (diff_id,)), CONFIG)
        manifest = self._layout.add_json(oci.manifest_json(config, (blob,)), MANIFEST)
        return self.register(reference, manifest)

    def adopt(
        self,
        reference: str,
        foreign: str,
        workspace: str,
        progress: Progress,
        run: RootfsConfig = PLAIN_ROOTFS,
    ) -> OciImage:
        """Take over the one image of a layout that another program wrote into `foreign`; nothing there is believed.

        Layers whose blob is here are not stored a second time, in another compression. Raises: ValueError,
        MalformedTar, OSError.
        """
        theirs = Layout(os.path.dirname(foreign))
        theirs.blobs = f"{foreign}/blobs"
        digest = only_manifest(foreign)
        manifest_bytes = theirs.read(digest)
        manifest = oci.parse_manifest(json.loads(manifest_bytes))
        config_bytes = theirs.read(manifest.config.digest)
        config = oci.parse_config(json.loads(config_bytes))
        _check_count(manifest, config)
        known = self._catalog.known_blobs()
        blobs = []
        for blob, diff_id in zip(manifest.layers, config.diff_ids, strict=True):
            ours = known.get(diff_id)
            if ours is None or not self._layers.present(diff_id):
                ours = self._take(theirs.blob(blob.digest), diff_id, workspace, progress)
            blobs.append(ours)
            known[diff_id] = ours
        if run != PLAIN_ROOTFS:
            config_bytes = json.dumps(_changed(json.loads(config_bytes), run), separators=(",", ":")).encode()
        ours_config = self._layout.add_bytes(config_bytes, CONFIG)
        same = [blob.digest for blob in blobs] == [blob.digest for blob in manifest.layers]
        if same and ours_config.digest == manifest.config.digest:
            return self.register(reference, self._layout.add_bytes(manifest_bytes, MANIFEST))
        return self.register(reference, self._layout.add_json(oci.manifest_json(ours_config, tuple(blobs)), MANIFEST))

    def _take(self, path: str, diff_id: Digest, workspace: str, progress: Progress) -> Descriptor:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            taken = self._layers.take(file, workspace, progress, f"unpacking {diff_id[7:19]}")
        if taken.diff_id != diff_id:
            raise MalformedTar(f"a layer's content is {taken.diff_id}, the configuration says {diff_id}")
        return taken.blob


def _check_count(manifest: oci.Manifest, config: oci.ImageConfig) -> None:
    if len(manifest.layers) != len(config.diff_ids):
        raise ValueError(f"the manifest has {len(manifest.layers)} layers, the configuration {len(config.diff_ids)}")
    if not manifest.layers:
        raise ValueError("the image has no layers: it is an artifact, not a root file system")


def _changed(config: dict[str, object], run: RootfsConfig) -> dict[str, object]:
    """Return a configuration in which what `run` says replaces what was there."""
    said = oci.config_json(run, "", "", ())["config"]
    if run.cwd == PLAIN_ROOTFS.cwd:
        said.pop("WorkingDir", None)
    before = config.get("config")
    return {**config, "config": {**(before if isinstance(before, dict) else {}), **said}}


@contextmanager
def translated(summary: str, hint: str) -> Iterator[None]:
    """Turn what is wrong with an archive, or with the disk, into a LimosaError: LIM-IMG-004, LIM-IMG-007."""
    try:
        yield
    except OSError as refused:
        if refused.errno in (errno.ENOSPC, errno.EDQUOT):
            raise LimosaError(
                "LIM-IMG-007",
                f"{summary}: the disk is full",
                cause=words_of(refused),
                hint="limosa system prune, or make room",
            ) from refused
        raise LimosaError("LIM-IMG-004", summary, cause=words_of(refused), hint=hint) from refused
    except (MalformedTar, ValueError, RecursionError) as bad:
        raise LimosaError("LIM-IMG-004", summary, cause=words_of(bad) or type(bad).__name__, hint=hint) from bad
