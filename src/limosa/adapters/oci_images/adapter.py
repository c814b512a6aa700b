"""The `OciImages` port: skopeo for registries, buildah for builds, our own unpacker for layers."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

from limosa.adapters.oci_images.catalog import Catalog
from limosa.adapters.oci_images.layout import Layout, Named
from limosa.linux import atomic_file
from limosa.model import oci
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import TYPE_CHECKING, Any
from limosa.model.ids import Digest, checked_digest
from limosa.model.oci import PLAIN_ROOTFS, Reference, RootfsConfig
from limosa.ports.oci_images import DEFAULT_REGISTRY, BuildRequest, DiskUse, OciImage, Progress, Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from limosa.adapters.oci_images.garbage import Garbage
    from limosa.adapters.oci_images.intake import Intake
    from limosa.adapters.oci_images.layers import LayerStore
    from limosa.adapters.oci_images.skopeo import Skopeo

_NOT_AN_ARCHIVE = "give a directory, a tar (gzip, zstd, xz) with a root file system, or a docker or OCI archive"


class LayoutImages:
    """The images of one limosa root."""

    def __init__(self, root: str, program: Callable[[str], str], build_first_host_id: int) -> None:
        """`program` finds executables; `build_first_host_id` is the first of 65536 host ids that builds run with."""
        self._program = program
        self._root = root
        self._build_ids = build_first_host_id
        self._layout = Layout(root)
        self._catalog = Catalog(self._layout)
        self._authfile = f"{root}/auth.json"

    # What a `run` has no need for is imported when it is asked for.

    @property
    def _skopeo(self) -> "Skopeo":
        from limosa.adapters.oci_images.skopeo import Skopeo

        return Skopeo(self._program, self._authfile)

    @property
    def _layers(self) -> "LayerStore":
        from limosa.adapters.oci_images.layers import LayerStore

        return LayerStore(self._layout, self._program)

    @property
    def _intake(self) -> "Intake":
        from limosa.adapters.oci_images.intake import Intake

        return Intake(self._layout, self._catalog, self._layers)

    @property
    def _garbage(self) -> "Garbage":
        from limosa.adapters.oci_images.garbage import Garbage

        return Garbage(self._layout, self._catalog, f"{self._root}/build")

    def resolve(self, reference: str) -> OciImage:
        """See the port."""
        return self._catalog.image(self._find(reference)[0])

    def _find(self, reference: str) -> list[Named]:
        found = self._catalog.find(reference)
        if found:
            return found
        raise LimosaError(
            "LIM-IMG-001",
            f"there is no image {reference!r} here",
            hint=f"limosa image pull {reference}, or image build, or image import ROOTFS {reference}   "
            "(limosa images lists what is here)",
        )

    def all(self) -> list[OciImage]:
        """See the port."""
        return [self._catalog.image(named) for named in self._layout.names()]

    def nameless(self, layers: tuple[Digest, ...]) -> list[OciImage]:
        """See the port."""
        return [image for image in self._catalog.nameless(frozenset(layers)) if image.layers == layers]

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        """See the port."""
        for diff_id in image_layers:
            if not self._layout.unpacked(diff_id):
                raise LimosaError(
                    "LIM-IMG-002",
                    f"the layer {diff_id[7:19]} is missing",
                    cause=f"there is no {self._layout.layer(diff_id)}",
                    hint="limosa image pull, or import, the image again",
                )
        return tuple(self._layout.layer(diff_id) for diff_id in image_layers)

    # Registries

    def pull(self, reference: str, progress: Progress, registry: Registry = DEFAULT_REGISTRY) -> OciImage:
        """See the port."""
        from limosa.adapters.oci_images.intake import translated
        from limosa.adapters.oci_images.skopeo import tells

        wanted = oci.parse_reference(reference)
        if wanted.local:
            raise LimosaError(
                "LIM-IMG-003",
                f"cannot pull {wanted}: it was made on this machine, no registry has it",
                hint="name a registry: REGISTRY/NAME; or limosa image build, or image import",
            )
        with self._layout.at_work(), self._layout.workspace() as workspace:
            progress(f"asking {wanted.registry}", 0, 0)
            pinned, size = self._pinned(wanted, registry)
            shown = tells(progress, f"pulling {wanted}", size)
            self._skopeo.pull(pinned, registry, f"{workspace}/pulled", self._layout.blobs, shown)
            shown(size)
            with translated(f"cannot keep {wanted}", "what the registry sent is damaged; pull it again"):
                return self._intake.register_pulled(str(wanted), f"{workspace}/pulled", progress)

    def _pinned(self, wanted: Reference, registry: Registry) -> tuple[Reference, int]:
        """Return the manifest for this machine that a name means now, and the bytes of its blobs that are not here."""
        from limosa.adapters.oci_images.intake import architecture
        from limosa.model import json_text

        raw = self._skopeo.raw_manifest(wanted, registry)
        try:
            value = json_text.loads(raw)
            if isinstance(value, dict) and "manifests" in value:
                digest = oci.platform_manifest(value, architecture())
                if digest is None:
                    raise ValueError(f"there is none for linux on {architecture()}")
                wanted = wanted._replace(tag="", digest=digest)
                value = json_text.loads(self._skopeo.raw_manifest(wanted, registry))
            blobs = oci.parse_manifest(value).layers
        except ValueError as wrong:
            raise LimosaError(
                "LIM-IMG-003",
                f"cannot pull {wanted}: the registry has no image for this machine",
                cause=words_of(wrong),
            ) from wrong
        return wanted, sum(blob.size_bytes for blob in blobs if not self._layout.has(blob))

    def push(
        self,
        reference: str,
        destination: str,
        progress: Progress,
        registry: Registry = DEFAULT_REGISTRY,
        compression: str = "gzip",
    ) -> None:
        """See the port."""
        named = self._find(reference)[0]
        target = oci.parse_reference(destination or named.reference)
        if target.local:
            raise LimosaError(
                "LIM-IMG-003",
                f"cannot push {target}: it names no registry",
                hint=f"limosa image push {reference} REGISTRY/{target.repository}:{target.tag}",
            )
        with self._layout.at_work(), self._layout.workspace() as workspace:
            manifest = self._catalog.manifest(named.manifest.digest)
            progress(f"pushing {target}", 0, 0)
            self._layout.view(f"{workspace}/view", named.manifest, (manifest.config, *manifest.layers))
            self._skopeo.push(f"{workspace}/view", target, registry, compression)

    def login(self, registry: str, user: str, password: str, access: Registry = DEFAULT_REGISTRY) -> None:
        """See the port."""
        self._skopeo.login(registry, user, password, access)

    def logout(self, registry: str) -> bool:
        """See the port."""
        from limosa.model import json_text

        try:
            with open(self._authfile, encoding="utf-8") as file:
                known: dict[str, Any] = json_text.loads(file.read())
        except FileNotFoundError:
            return False
        if known.get("auths", {}).pop(registry, None) is None:
            return False
        atomic_file.replace(self._authfile, json_text.dumps(known, indent=1).encode())
        return True

    # Files

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """See the port."""
        from limosa.adapters.oci_images import importing
        from limosa.adapters.oci_images.intake import translated

        name = str(oci.parse_reference(reference, oci.LOCAL))
        with (
            self._layout.at_work(),
            self._layout.workspace() as workspace,
            translated(f"{path} cannot be imported", _NOT_AN_ARCHIVE),
        ):
            if os.path.isdir(path):
                return self._import_directory(path, name, workspace, progress, run)
            with open(path, "rb") as file:
                kind = importing.kind_of(file, self._program)
                if kind == "rootfs":
                    layer = self._layers.take(file, workspace, progress)
                    return self._intake.register_rootfs(name, run, importing.time_of(path), layer)
                importing.plain(file, path, f"{workspace}/archive", self._program)
            return self._convert(f"{kind}:{workspace}/archive", name, workspace, progress, run)

    @contextmanager
    def as_archive(self, reference: str) -> Iterator[str]:
        """See the port."""
        with self._layout.at_work(), self._layout.workspace() as workspace:
            descriptor = self._descriptor(reference)
            manifest = self._catalog.manifest(descriptor.digest)
            self._layout.view(f"{workspace}/view", descriptor, (manifest.config, *manifest.layers))
            yield f"{workspace}/view"

    def _descriptor(self, reference: str) -> oci.Descriptor:
        """Return the manifest that a reference means, or the whole digest of an image that has no name any more."""
        found = self._catalog.find(reference)
        if not found and reference.startswith("sha256:"):
            with suppress(ValueError, FileNotFoundError):
                return self._layout.descriptor_of_manifest(Digest(checked_digest(reference)))
        return self._find(reference)[0].manifest

    def _import_directory(
        self, path: str, name: str, workspace: str, progress: Progress, run: RootfsConfig
    ) -> OciImage:
        from limosa.adapters.oci_images import importing

        if os.path.exists(f"{path}/oci-layout") and os.path.exists(f"{path}/index.json"):
            os.symlink(os.path.abspath(path), f"{workspace}/archive")
            return self._convert(f"oci:{workspace}/archive", name, workspace, progress, run)
        with importing.packed(path, workspace, self._program) as tar:
            layer = self._layers.take(tar, workspace, progress)
        return self._intake.register_rootfs(name, run, importing.time_of(path), layer)

    def _convert(self, source: str, name: str, workspace: str, progress: Progress, run: RootfsConfig) -> OciImage:
        progress("reading", 0, 0)
        self._skopeo.convert(source, f"{workspace}/converted", workspace)
        return self._intake.adopt(name, f"{workspace}/converted", workspace, progress, run)

    def build(self, request: BuildRequest, log: Callable[[str], None], progress: Progress) -> OciImage:
        """See the port."""
        from limosa.adapters.oci_images.building import Buildah

        def base(name: str) -> tuple[Named, OciImage]:
            found = self._catalog.find(name)
            if not found or (request.pull and not found[0].reference.startswith(f"{oci.LOCAL}/")):
                self.pull(name, progress, request.registry)
                found = self._catalog.find(name)
            return found[0], self._catalog.image(found[0])

        with self._layout.at_work():
            directory = f"{self._root}/build"
            buildah = Buildah(self._program, self._layout, self._catalog, self._intake, directory, self._build_ids)
            return buildah.build(request, base, log, progress)

    # Names

    def tag(self, reference: str, new_reference: str) -> OciImage:
        """See the port."""
        with self._layout.at_work():
            named = self._find(reference)[0]
            new = Named(str(oci.parse_reference(new_reference, oci.LOCAL)), named.manifest)
            self._layout.rename(add=(new,))
            return self._catalog.image(new)

    def remove(self, reference: str, layers_in_use: frozenset[Digest]) -> list[str]:
        """See the port."""
        names = [named.reference for named in self._find(reference)]
        self._layout.rename(remove=frozenset(names))
        self._garbage.collect(layers_in_use, wait=False)
        return names

    def prune(self, layers_in_use: frozenset[Digest], *, build_cache: bool = False) -> int:
        """See the port."""
        return self._garbage.collect(layers_in_use, wait=True, build_cache=build_cache)

    def tidy(self) -> list[str]:
        """See the port."""
        return self._garbage.tidy()

    def disk_use(self, layers_in_use: frozenset[Digest]) -> DiskUse:
        """See the port."""
        return self._garbage.disk_use(layers_in_use)

    def workspace(self) -> AbstractContextManager[str]:
        """See the port."""
        return self._workspace()

    @contextmanager
    def _workspace(self) -> "Iterator[str]":
        with self._layout.at_work(), self._layout.workspace() as directory:
            yield directory
