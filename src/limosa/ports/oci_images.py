"""OCI images: from a registry or a file into an OCI layout, and unpacked layers that containers share."""

from collections.abc import Callable
from contextlib import AbstractContextManager

from limosa.model.hints import Final, Protocol
from limosa.model.ids import Digest
from limosa.model.oci import PLAIN_ROOTFS, RootfsConfig
from limosa.model.value import NamedTuple

Progress = Callable[[str, int, int], None]
"""(what, done_bytes, total_bytes); total 0 when it is not known."""


class OciImage(NamedTuple):
    """One image as `inspect` shows it. `layers` are the diff ids, lowest first: each names an unpacked directory."""

    reference: str  # "docker.io/library/redis:7" or "localhost/web:latest"
    digest: Digest  # of the manifest
    layers: tuple[Digest, ...]
    created: str
    size_bytes: int  # unpacked
    entrypoint: tuple[str, ...]
    cmd: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    user: str
    stop_signal: str
    exposed_ports: tuple[str, ...]
    volumes: tuple[str, ...]
    labels: tuple[tuple[str, str], ...]


class Registry(NamedTuple):
    """How a registry is spoken to."""

    tls_verify: bool | None = None  # None: yes, except on loopback
    cert_dir: str = ""  # with further certificates; "" for none


DEFAULT_REGISTRY: Final = Registry()


class BuildRequest(NamedTuple):
    """What `image build` is asked for."""

    containerfile: str  # a path
    context: str  # a directory
    reference: str
    build_args: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    target: str = ""
    use_cache: bool = True
    pull: bool = False  # bring base images anew even if they are here
    registry: Registry = DEFAULT_REGISTRY


class DiskUse(NamedTuple):
    """What images take on disk."""

    blobs_bytes: int
    layers_bytes: int  # unpacked
    layers: int
    build_cache_bytes: int
    unused_bytes: int  # what `prune` would free


class OciImages(Protocol):
    """The images of one limosa host.

    A layer is unpacked once and shared; an image exists as long as it has a name. Layers that are in use stay after
    that, with what it takes to send them to another host. A command that is killed leaves only what `tidy` and `prune`
    remove.
    """

    def resolve(self, reference: str) -> OciImage:
        """Return the image that `reference` (short name, full name, digest, abbreviated digest) means.

        Raises: LimosaError LIM-IMG-001: there is none (the hint says how to pull, build or import one); LIM-IMG-011:
            several.
        """

    def all(self) -> list[OciImage]:
        """Return every named image, by reference."""

    def nameless(self, layers: tuple[Digest, ...]) -> list[OciImage]:
        """Return the images with exactly these layers that lost their last name while the layers were in use.

        `as_archive` takes their digest.
        """

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        """Return the unpacked directories, lowest first, files owned by inner ids.

        Raises: LimosaError LIM-IMG-002: a layer is missing on disk; `image pull` brings it again.
        """

    def pull(self, reference: str, progress: Progress, registry: Registry = DEFAULT_REGISTRY) -> OciImage:
        """Bring an image from a registry and unpack what is new.

        Raises: LimosaError LIM-IMG-003: registry's answer, translated; LIM-IMG-004: what came is damaged; LIM-IMG-007:
            disk full.
        """

    def push(
        self,
        reference: str,
        destination: str,
        progress: Progress,
        registry: Registry = DEFAULT_REGISTRY,
        compression: str = "gzip",
    ) -> None:
        """Send an image to a registry. Raises: LimosaError LIM-IMG-003, LIM-IMG-001."""

    def login(self, registry: str, user: str, password: str, access: Registry = DEFAULT_REGISTRY) -> None:
        """Check a password with `registry` and keep it for pull and push.

        Raises: LimosaError LIM-IMG-013: it does not take them; LIM-IMG-003: it cannot be reached or trusted.
        """

    def logout(self, registry: str) -> bool:
        """Forget the password of `registry`; say whether there was one."""

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """Take a root file system (tar or directory), an OCI or a docker archive in as `reference`.

        `run` says how a root file system is run; the fields of it that are not empty replace those of an archive.
        Raises: LimosaError LIM-IMG-004: not an archive, or one with a member that would leave its directory;
            LIM-IMG-007: disk full. Nothing is kept then.
        """

    def as_archive(self, reference: str) -> AbstractContextManager[str]:
        """Give an image as something that another host's `import_archive` takes, for the time of a `with` block.

        The digest of one of the `nameless` will do.

        Raises: LimosaError LIM-IMG-001.
        """

    def build(self, request: BuildRequest, log: Callable[[str], None], progress: Progress) -> OciImage:
        """Build from a Containerfile with buildah; base images that are not here are pulled.

        Raises: LimosaError LIM-IMG-005: the build failed, with its last lines.
        """

    def tag(self, reference: str, new_reference: str) -> OciImage:
        """Give an image one more name. Raises: LimosaError LIM-IMG-001, LIM-IMG-008."""

    def remove(self, reference: str, layers_in_use: frozenset[Digest]) -> list[str]:
        """Take a name away (every name, for a digest), and the image with its last; return what was removed, by line.

        Raises: LimosaError LIM-IMG-001.
        """

    def prune(self, layers_in_use: frozenset[Digest], *, build_cache: bool = False) -> int:
        """Remove blobs and unpacked layers that nothing names; return the bytes that became free.

        Waits for commands that add images.
        """

    def tidy(self) -> list[str]:
        """Remove what dead commands left unfinished; return what, a line each. Waits for living ones."""

    def disk_use(self, layers_in_use: frozenset[Digest]) -> DiskUse:
        """Return what is taken."""

    def workspace(self) -> AbstractContextManager[str]:
        """Give an empty directory on the images' own disk for the time of a `with` block; `tidy` removes one that a
        dead command left.
        """
