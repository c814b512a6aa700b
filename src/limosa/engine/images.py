"""Images: which are in use, bringing missing ones, removing and counting."""

from limosa.engine import commits
from limosa.engine.host import Host
from limosa.model import oci
from limosa.model.errors import LimosaError
from limosa.model.hints import Final, Literal
from limosa.model.ids import Digest
from limosa.model.value import NamedTuple
from limosa.ports.oci_images import DEFAULT_REGISTRY, DiskUse, OciImage, Progress, Registry

PullPolicy = Literal["missing", "always", "never"]
_UNREACHED: Final = "LIM-IMG-003"


def layers_in_use(host: Host) -> frozenset[Digest]:
    """Return the layers that containers, commits and mounts of commits need."""
    return frozenset(layer for _, layers in _users(host) for layer in layers)


def _users(host: Host) -> list[tuple[str, tuple[Digest, ...]]]:
    containers = [(f"container {record.config.name}", record.layers) for record in host.containers.all()]
    mounted = [(f"mount {one.directory}", one.layers) for one in host.commit_mounts.all()]
    committed = [(f"commit {commit.commit_id[:12]}", commit.container.layers) for commit in commits.every(host)]
    return [*containers, *mounted, *committed]


def users(host: Host, image: OciImage) -> list[str]:
    """Return the containers and commits that were made from an image, in words."""
    return [who for who, layers in _users(host) if layers == image.layers]


def pull(host: Host, reference: str, progress: Progress, registry: Registry = DEFAULT_REGISTRY) -> OciImage:
    """Bring an image. Raises: LimosaError LIM-IMG-001: a name without a registry, whose default one has no answer;
    otherwise as `OciImages.pull`.
    """
    try:
        return host.oci_images.pull(reference, progress, registry)
    except LimosaError as refused:
        parsed = oci.parse_reference(reference)
        if refused.code != _UNREACHED or parsed.local or _names_a_registry(reference, parsed):
            raise
        raise LimosaError(
            "LIM-IMG-001",
            f"there is no image {reference!r} here, and {parsed.registry} gives none",
            cause=f"{refused.summary}: {refused.cause}",
            hint=f"limosa image import ROOTFS {reference}, image build -t {reference} DIRECTORY, template build, or "
            f"image pull REGISTRY/{reference}",
        ) from refused


def _names_a_registry(reference: str, parsed: oci.Reference) -> bool:
    return reference.startswith(f"{parsed.registry}/")


def obtain(
    host: Host, reference: str, policy: PullPolicy, progress: Progress, registry: Registry = DEFAULT_REGISTRY
) -> OciImage:
    """Return the image that a container is to be made of, and bring it if `policy` says so. Raises: LimosaError."""
    if policy == "always" and not _made_here(host, reference):
        return pull(host, reference, progress, registry)
    try:
        return host.oci_images.resolve(reference)
    except LimosaError as missing:
        if missing.code != "LIM-IMG-001" or policy == "never" or oci.parse_reference(reference).local:
            raise
    return pull(host, reference, progress, registry)


def _made_here(host: Host, reference: str) -> bool:
    try:
        return host.oci_images.resolve(reference).reference.startswith(f"{oci.LOCAL}/")
    except LimosaError:
        return False


def remove(host: Host, reference: str, *, force: bool = False) -> list[str]:
    """Take names away, and images with their last; return what was removed, a line each.

    Raises: LimosaError LIM-IMG-001: there is none; LIM-IMG-006: a container or commit was made from it, unless `force`.
    """
    image = host.oci_images.resolve(reference)
    others = [one for one in host.oci_images.all() if one.digest == image.digest and one.reference != image.reference]
    having = users(host, image)
    if having and not others and not force:
        raise LimosaError(
            "LIM-IMG-006",
            f"cannot remove the image {image.reference}: it is in use",
            cause=", ".join(having),
            hint="remove those first; --force takes the name away, its layers stay as long as they are needed",
        )
    return host.oci_images.remove(reference, layers_in_use(host))


class Pruned(NamedTuple):
    """What was removed."""

    references: tuple[str, ...]
    freed_bytes: int


def prune(host: Host, *, unused_too: bool = False, build_cache: bool = False) -> Pruned:
    """Remove what no name and no container needs; with `unused_too` also images that no container was made from."""
    in_use = layers_in_use(host)
    removed: list[str] = []
    freed = host.oci_images.prune(in_use, build_cache=build_cache)
    if unused_too:
        for image in host.oci_images.all():
            if not users(host, image):
                removed += host.oci_images.remove(image.reference, in_use | frozenset(image.layers))
        freed += host.oci_images.prune(in_use)
    return Pruned(tuple(removed), freed)


class Share(NamedTuple):
    """A line of `system df`."""

    what: str
    total: int
    active: int
    size_bytes: int
    reclaimable_bytes: int


def disk_use(host: Host) -> tuple[Share, ...]:
    """Return what a root takes on disk."""
    in_use = layers_in_use(host)
    found = host.oci_images.all()
    use: DiskUse = host.oci_images.disk_use(in_use)
    records = host.containers.all()
    kept = commits.every(host)
    running = [record for record in records if record.phase in ("running", "paused")]
    if records or kept:
        host.storage.prepare()
    sizes = {record.container_id: host.storage.usage(record.container_id).used_bytes for record in records}
    stopped = sum(sizes.values()) - sum(sizes[record.container_id] for record in running)
    used = [image for image in found if users(host, image)]
    return (
        Share("images", len(found), len(used), use.blobs_bytes, use.unused_bytes),
        Share("layers", use.layers, len(in_use), use.layers_bytes, 0),
        Share("build cache", 0, 0, use.build_cache_bytes, use.build_cache_bytes),
        Share("containers", len(records), len(running), sum(sizes.values()), stopped),
        Share("commits", len(kept), len(kept), host.store.usage().pack_bytes, 0),
        *_volumes(host),
    )


def _volumes(host: Host) -> tuple[Share, ...]:
    volumes = host.volumes.all()
    if not volumes:
        return (Share("volumes", 0, 0, 0, 0),)
    host.storage.prepare()
    mounted = {mount.source for record in host.containers.all() for mount in record.config.mounts}
    sizes = {volume.name: host.volumes.used_bytes(volume.name) for volume in volumes}
    active = [name for name in sizes if name in mounted]
    idle = sum(size for name, size in sizes.items() if name not in mounted)
    return (Share("volumes", len(volumes), len(active), sum(sizes.values()), idle),)
