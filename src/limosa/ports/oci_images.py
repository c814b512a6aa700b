"""OCI images: from a registry or a file into an OCI layout, and unpacked layers that containers share."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from limosa.model.ids import Digest
from limosa.model.oci import PLAIN_ROOTFS, RootfsConfig

Progress = Callable[[str, int, int], None]
"""(what, done_bytes, total_bytes); total 0 when it is not known."""


class OciImage(NamedTuple):
    """One image as `inspect` shows it. `layers` are the diff ids, lowest first: each names an unpacked directory."""

    reference: str  # "docker.io/library/redis:7" or "localhost/web:latest"
    digest: Digest  # of the manifest
    layers: tuple[Digest, ...]
    created: str
    size_bytes: int
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    stop_signal: str
    exposed_ports: tuple[str, ...]
    volumes: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


class ImportedImages(Protocol):
    """The part of `OciImages` that needs no registry: what containers are made from."""

    def resolve(self, reference: str) -> OciImage:
        """See `OciImages.resolve`."""

    def all(self) -> list[OciImage]:
        """See `OciImages.all`."""

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        """See `OciImages.layer_directories`."""

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """See `OciImages.import_archive`."""

    def remove(self, reference: str, layers_in_use: frozenset[Digest], force: bool) -> list[str]:
        """See `OciImages.remove`."""

    def workspace(self) -> AbstractContextManager[str]:
        """See `OciImages.workspace`."""


class OciImages(Protocol):
    """The images of one limosa host.

    A layer is unpacked once and shared; a reference counts as long as it is tagged or in use.
    """

    def resolve(self, reference: str) -> OciImage:
        """Return the image that `reference` (short name, full name, digest, abbreviated digest) means.

        Raises: LimosaError LIM-IMG-001: there is none (the hint says how to pull, build or import one).
        """

    def all(self) -> list[OciImage]:
        """Return every tagged image, by reference."""

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        """Return the unpacked directories, lowest first, files owned by inner ids.

        Raises: LimosaError LIM-IMG-002: a layer is missing on disk; `image pull` brings it again.
        """

    def pull(self, reference: str, progress: Progress) -> OciImage:
        """Bring an image from a registry and unpack what is new.

        Raises: LimosaError LIM-IMG-003: registry's answer, translated.
        """

    def push(self, reference: str, destination: str, progress: Progress) -> None:
        """Send an image to a registry. Raises: LimosaError LIM-IMG-003, LIM-IMG-001."""

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """Take a root file system (tar or directory), an OCI or a docker archive in as `reference`.

        Raises: LimosaError LIM-IMG-004: not an archive, or one with a member that would leave its directory;
            nothing is kept.
        """

    def build(self, containerfile: str, context: str, reference: str, log: Callable[[str], None]) -> OciImage:
        """Build from a Containerfile with buildah.

        Raises: LimosaError LIM-IMG-005: the build failed, with its last lines.
        """

    def tag(self, reference: str, new_reference: str) -> None:
        """Give an image one more name. Raises: LimosaError LIM-IMG-001."""

    def remove(self, reference: str, layers_in_use: frozenset[Digest], force: bool) -> list[str]:
        """Take a name away, and the image with its last name; return what was removed, a line each.

        Raises: LimosaError LIM-IMG-006: a container or commit uses it (said by the caller through `layers_in_use`).
        """

    def workspace(self) -> AbstractContextManager[str]:
        """Give an empty directory on the images' own disk for the time of a `with` block; `recover` removes one that
        a dead command left.
        """

    def prune(self, layers_in_use: frozenset[Digest]) -> int:
        """Remove blobs and unpacked layers that nothing names; return the bytes that became free."""
