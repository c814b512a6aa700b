"""OCI images made from root file systems: a directory or a tar becomes one unpacked layer.

    <root>/layers/<hex>/             an unpacked layer, by the digest of what it was made of; files have inner ids
    <root>/oci-images/<name>.json    one reference: an `OciImage`; "/" in a name is written "%"

Unpacking is tar(1)'s work, which strips leading slashes and ".." and puts links in place last.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import files, process
from limosa.model import codec
from limosa.model.errors import LimosaError
from limosa.model.ids import Digest
from limosa.model.oci import PLAIN_ROOTFS, RootfsConfig
from limosa.ports.oci_images import OciImage, Progress

_BLOCK_BYTES = 1 << 20


class RootfsImages:
    """Imported images of one limosa root."""

    def __init__(self, root: str) -> None:
        self._layers = f"{root}/layers"
        self._references = f"{root}/oci-images"

    def _file(self, reference: str) -> str:
        return f"{self._references}/{reference.replace('/', '%')}.json"

    def resolve(self, reference: str) -> OciImage:
        """See the port."""
        for name in (reference, f"localhost/{reference}", f"localhost/{reference}:latest", f"{reference}:latest"):
            try:
                with open(self._file(name), encoding="utf-8") as file:
                    return codec.from_jsonable(OciImage, json.load(file))
            except FileNotFoundError:
                continue
        raise LimosaError(
            "LIM-IMG-001",
            f"there is no image {reference!r} here",
            hint=f"limosa image import ROOTFS {reference}   (limosa images lists what is here)",
            exit_status=125,
        )

    def all(self) -> list[OciImage]:
        """See the port."""
        if not os.path.isdir(self._references):
            return []
        found = []
        for name in sorted(os.listdir(self._references)):
            if name.endswith(".json"):
                with open(f"{self._references}/{name}", encoding="utf-8") as file:
                    found.append(codec.from_jsonable(OciImage, json.load(file)))
        return found

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        """See the port."""
        found = tuple(f"{self._layers}/{digest.removeprefix('sha256:')}" for digest in image_layers)
        for directory in found:
            if not os.path.isdir(directory):
                raise LimosaError("LIM-IMG-002", f"the layer {directory} is missing", hint="import the image again")
        return found

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """See the port."""
        name = reference if "/" in reference else f"localhost/{reference}"
        name = name if ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"
        os.makedirs(self._layers, mode=0o711, exist_ok=True)
        os.makedirs(self._references, mode=0o700, exist_ok=True)
        unfinished = f"{self._layers}/.{os.getpid()}.new"
        try:
            digest, size = self._unpack(path, unfinished, progress)
            place = f"{self._layers}/{digest.removeprefix('sha256:')}"
            if not os.path.isdir(place):
                os.rename(unfinished, place)
        finally:
            files.remove_tree(unfinished)
        oci_image = OciImage(name, digest, (digest,), "", size, *run)
        files.write_durably(self._file(name), json.dumps(codec.to_jsonable(oci_image)).encode())
        return oci_image

    def _unpack(self, path: str, target: str, progress: Progress) -> tuple[Digest, int]:
        os.makedirs(target, mode=0o755)
        unpack = ["tar", "--extract", "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*"]
        try:
            if os.path.isdir(path):
                archive = f"{target}.tar"
                process.run(["tar", "--create", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name",
                             "--file", archive, "--directory", path, "."])  # fmt: skip
            else:
                archive = path
            try:
                digest, size = _digest_of(archive, progress)
                process.run([*unpack, "--file", archive, "--directory", target])
            finally:
                if archive != path:
                    os.unlink(archive)
        except (OSError, process.CommandFailed) as bad:
            raise LimosaError(
                "LIM-IMG-004",
                f"{path} cannot be imported",
                cause=str(bad),
                hint="give a directory or a tar with a root file system",
            ) from bad
        return digest, size

    @contextmanager
    def workspace(self) -> Iterator[str]:
        """See the port."""
        os.makedirs(self._layers, mode=0o711, exist_ok=True)
        directory = f"{self._layers}/.{os.getpid()}.work"
        try:
            os.mkdir(directory, 0o700)
            yield directory
        finally:
            files.remove_tree(directory)

    def remove(self, reference: str, layers_in_use: frozenset[Digest], force: bool) -> list[str]:
        """See the port."""
        oci_image = self.resolve(reference)
        if not force and layers_in_use & set(oci_image.layers):
            raise LimosaError("LIM-IMG-006", f"{reference!r} is in use", cause="a container needs its layers",
                              hint="limosa ps -a shows which; remove it first")  # fmt: skip
        os.unlink(self._file(oci_image.reference))
        needed = layers_in_use | {layer for other in self.all() for layer in other.layers}
        for layer in oci_image.layers:
            if layer not in needed:
                files.remove_tree(f"{self._layers}/{layer.removeprefix('sha256:')}")
        return [oci_image.reference]


def _digest_of(path: str, progress: Progress) -> tuple[Digest, int]:
    import hashlib

    total, done = os.stat(path).st_size, 0
    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
            done += len(block)
            progress("reading", done, total)
    return Digest(f"sha256:{state.hexdigest()}"), total
