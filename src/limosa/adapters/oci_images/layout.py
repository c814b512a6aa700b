"""The blobs and names of one limosa root: an OCI image layout that other programs can read.

    <root>/oci/oci-layout, index.json    the layout; every name is a manifest's `org.opencontainers.image.ref.name`
    <root>/oci/blobs/sha256/<hex>        blobs by digest, complete from the first moment
    <root>/oci/known/<hex>.json          what a manifest says, as an `OciImage`: a cache that can be made again
    <root>/oci/work/<name>/              what commands at work have begun
    <root>/oci/index.lock                held while index.json is replaced
    <root>/oci/work.lock                 shared by commands that add blobs or layers, exclusive for those that remove
    <root>/layers/<hex>/                 an unpacked layer by its diff id; `.<name>` is one that is not finished

A name is written last, so a crash leaves garbage and never damage. Source: OCI Image Layout Specification 1.1.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import atomic_file, files, flock
from limosa.model import json_text
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Any, Final
from limosa.model.ids import Digest
from limosa.model.oci import INDEX, MANIFEST, REF_NAME, Descriptor, parse_descriptor
from limosa.model.value import NamedTuple

_MOST_JSON_BYTES: Final = 8 << 20
_BLOCK_BYTES: Final = 1 << 20


class Named(NamedTuple):
    """A name and the manifest that it means."""

    reference: str
    manifest: Descriptor


class Layout:
    """The layout of one root. Methods that write expect the caller in `at_work`."""

    def __init__(self, root: str) -> None:
        self.place = f"{root}/oci"
        self.blobs = f"{self.place}/blobs"
        self.layers = f"{root}/layers"

    def prepare(self) -> None:
        """Make the directories. They are closed: layers have set-id programs and device nodes of strangers."""
        for directory in (self.place, self.layers):
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.chmod(directory, 0o700)
        for below in ("blobs/sha256", "known", "work"):
            os.makedirs(f"{self.place}/{below}", mode=0o700, exist_ok=True)
        if not os.path.exists(f"{self.place}/oci-layout"):
            atomic_file.replace(f"{self.place}/oci-layout", b'{"imageLayoutVersion": "1.0.0"}')

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Keep `removing` away while blobs and layers are added that no name means yet."""
        self.prepare()
        with flock.locked(f"{self.place}/work.lock", exclusive=False):
            yield

    @contextmanager
    def removing(self, *, wait: bool) -> Iterator[bool]:
        """Be alone, if need be by waiting; gives False, without `wait`, when another command is at work."""
        self.prepare()
        try:
            with flock.locked(f"{self.place}/work.lock", blocking=wait):
                yield True
        except BlockingIOError:
            yield False

    @contextmanager
    def workspace(self) -> Iterator[str]:
        """Give an empty directory for the time of a `with` block."""
        directory = f"{self.place}/work/{os.getpid()}-{os.urandom(4).hex()}"
        try:
            os.mkdir(directory, 0o700)
            yield directory
        finally:
            files.remove_tree(directory)

    # Names

    def names(self) -> list[Named]:
        """Return every name, sorted. Raises: LimosaError LIM-IMG-012: index.json is damaged."""
        try:
            with open(f"{self.place}/index.json", encoding="utf-8") as file:
                index = json_text.loads(file.read())
            return sorted(
                Named(str(entry["annotations"][REF_NAME]), parse_descriptor(entry)) for entry in index["manifests"]
            )
        except FileNotFoundError:
            return []
        except (ValueError, KeyError, TypeError) as damage:
            raise LimosaError(
                "LIM-IMG-012",
                f"{self.place}/index.json is damaged",
                cause=words_of(damage),
                hint="restore it from a backup, or remove it and pull the images again",
            ) from damage

    def rename(self, add: tuple[Named, ...] = (), remove: frozenset[str] = frozenset()) -> None:
        """Add names (each replaces one like it) and remove others, in one step."""
        with flock.locked(f"{self.place}/index.lock"):
            found = {named.reference: named for named in self.names() if named.reference not in remove}
            found.update({named.reference: named for named in add})
            entries = [
                {**named.manifest.as_json(), "annotations": {REF_NAME: reference}}
                for reference, named in sorted(found.items())
            ]
            atomic_file.replace(f"{self.place}/index.json", index_json(entries))

    # Blobs

    def blob(self, digest: str) -> str:
        """Return the path of a blob, there or not."""
        return f"{self.blobs}/{digest.replace(':', '/', 1)}"

    def layer(self, diff_id: Digest) -> str:
        """Return where a layer is unpacked, there or not."""
        return f"{self.layers}/{diff_id.removeprefix('sha256:')}"

    def unpacked(self, diff_id: Digest) -> bool:
        """Say whether a layer is unpacked."""
        return os.path.isdir(self.layer(diff_id))

    def has(self, descriptor: Descriptor) -> bool:
        """Say whether a blob is here, with its size."""
        try:
            return os.stat(self.blob(descriptor.digest)).st_size == descriptor.size_bytes
        except FileNotFoundError:
            return False

    def read_json(self, digest: Digest) -> Any:
        """Return a small blob's value. Raises: ValueError: it is too large, not JSON, or not what its digest says.

        FileNotFoundError: it is missing.
        """
        return json_text.loads(self.read(digest))

    def read(self, digest: Digest) -> bytes:
        """Return a small blob. Raises: as `read_json`."""
        import hashlib

        with open(self.blob(digest), "rb") as file:
            data = file.read(_MOST_JSON_BYTES + 1)
        if len(data) > _MOST_JSON_BYTES:
            raise ValueError(f"{digest}: larger than {_MOST_JSON_BYTES} bytes")
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ValueError(f"{digest}: the content is not what the digest says")
        return data

    def descriptor_of_manifest(self, digest: Digest) -> Descriptor:
        """Return what names a manifest that is here. Raises: as `read_json`."""
        media_type = self.read_json(digest).get("mediaType") or MANIFEST
        return Descriptor(media_type, digest, os.stat(self.blob(digest)).st_size)

    def add_bytes(self, data: bytes, media_type: str) -> Descriptor:
        """Keep a small blob."""
        import hashlib

        descriptor = Descriptor(media_type, Digest(f"sha256:{hashlib.sha256(data).hexdigest()}"), len(data))
        if not self.has(descriptor):
            atomic_file.replace(self.blob(descriptor.digest), data)
        return descriptor

    def add_json(self, value: object, media_type: str) -> Descriptor:
        """Keep a value as a blob."""
        return self.add_bytes(json_text.dumps(value, compact=True).encode(), media_type)

    def add_file(self, path: str, media_type: str) -> Descriptor:
        """Take over a file of a workspace as a blob."""
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(file, 0o644)  # a build reads it by a hard link; the directory here is closed
            os.fsync(file)
        finally:
            os.close(file)
        descriptor = Descriptor(media_type, digest_of(path), os.stat(path).st_size)
        os.replace(path, self.blob(descriptor.digest))
        return descriptor

    def view(self, directory: str, manifest: Descriptor, blobs: tuple[Descriptor, ...]) -> None:
        """Make `directory` a layout of one image, called "it", by hard links to its blobs."""
        os.makedirs(f"{directory}/blobs/sha256")
        for one in {*blobs, manifest}:
            os.link(self.blob(one.digest), f"{directory}/blobs/{one.digest.replace(':', '/', 1)}")
        entry = {**manifest.as_json(), "annotations": {REF_NAME: "it"}}
        for name, data in (("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'), ("index.json", index_json([entry]))):
            with open(f"{directory}/{name}", "wb") as file:
                file.write(data)


def index_json(entries: list[dict[str, Any]]) -> bytes:
    """Return an index.json."""
    return json_text.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}, indent=1).encode()


def only_manifest(directory: str) -> Digest:
    """Return the one manifest that a layout made by another program names.

    Raises: ValueError: it names none or several, or something that is no manifest.
    """
    with open(f"{directory}/index.json", encoding="utf-8") as file:
        entries = json_text.loads(file.read())["manifests"]
    if len(entries) != 1 or entries[0].get("mediaType", MANIFEST) != MANIFEST:
        raise ValueError(f"one manifest is needed, not {len(entries)}")
    return parse_descriptor(entries[0]).digest


def digest_of(path: str) -> Digest:
    """Return the digest of a file."""
    import hashlib

    state = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            state.update(block)
    return Digest(f"sha256:{state.hexdigest()}")
