"""What the images of the layout are and say. Light: every `run` looks an image up."""

from limosa.adapters.oci_images.layout import Layout, Named
from limosa.linux import atomic_file, files
from limosa.model import codec, json_text, oci
from limosa.model.errors import LimosaError, words_of
from limosa.model.ids import Digest
from limosa.model.oci import Descriptor
from limosa.ports.oci_images import OciImage


class Catalog:
    """The images of a layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def find(self, text: str) -> list[Named]:
        """Return the names that `text` means: one for a name, all of an image for a digest; [] for nothing.

        Raises: LimosaError LIM-IMG-008: it is no reference; LIM-IMG-011: it means several images.
        """
        names = self._layout.names()
        by_reference = {named.reference: named for named in names}
        digits = oci.abbreviated_digest(text)
        for reference in () if text.startswith("sha256:") and digits else oci.candidates(text):
            if str(reference) in by_reference:
                return [by_reference[str(reference)]]
            if reference.digest:
                whole = f"{reference.registry}/{reference.repository}:"
                same = [one for one in names if one.manifest.digest == reference.digest]
                if any(one.reference.startswith(whole) for one in same):
                    return [one for one in same if one.reference.startswith(whole)]
        found = [named for named in names if digits and named.manifest.digest[7:].startswith(digits)]
        if len({named.manifest.digest for named in found}) > 1:
            raise LimosaError("LIM-IMG-011", f"{text!r} means several images", hint="give more digits")
        return found

    def image(self, named: Named) -> OciImage:
        """Return what a name means. Raises: LimosaError LIM-IMG-012: its manifest is missing or damaged."""
        try:
            with open(self._known(named.manifest.digest), encoding="utf-8") as file:
                known = codec.from_jsonable(OciImage, json_text.loads(file.read()))
        except (FileNotFoundError, ValueError):
            try:
                known = self.remember(named.manifest.digest)
            except (ValueError, FileNotFoundError) as damage:
                raise LimosaError(
                    "LIM-IMG-012",
                    f"the image {named.reference} is damaged",
                    cause=words_of(damage),
                    hint=f"limosa image pull {named.reference} brings it again",
                ) from damage
        return known._replace(reference=named.reference)

    def nameless(self, layers: frozenset[Digest]) -> list[OciImage]:
        """Return the images without a name that are here whole, and have no other layers than these."""
        named = {one.manifest.digest for one in self._layout.names()}
        found = []
        for file in sorted(files.names_in(f"{self._layout.place}/known")):
            digest = Digest(f"sha256:{file.removesuffix('.json')}")
            if digest in named or not file.endswith(".json"):
                continue
            try:
                with open(self._known(digest), encoding="utf-8") as opened:
                    image = codec.from_jsonable(OciImage, json_text.loads(opened.read()))
                if not layers.issuperset(image.layers):
                    continue
                manifest = self.manifest(digest)
            except (FileNotFoundError, ValueError):
                continue
            if all(self._layout.has(blob) for blob in (manifest.config, *manifest.layers)):
                found.append(image)
        return found

    def manifest(self, digest: Digest) -> oci.Manifest:
        """Return a manifest. Raises: ValueError, FileNotFoundError."""
        return oci.parse_manifest(self._layout.read_json(digest))

    def _known(self, digest: Digest) -> str:
        return f"{self._layout.place}/known/{digest[7:]}.json"

    def remember(self, digest: Digest) -> OciImage:
        """Read what a manifest says, for `image` to find. Raises: ValueError, FileNotFoundError."""
        manifest = self.manifest(digest)
        config = oci.parse_config(self._layout.read_json(manifest.config.digest))
        size = sum(files.allocated_bytes(self._layout.layer(diff_id)) for diff_id in dict.fromkeys(config.diff_ids))
        image = OciImage("", digest, config.diff_ids, config.created, size, *config.run)
        atomic_file.replace(self._known(digest), json_text.dumps(codec.to_jsonable(image)).encode())
        return image

    def with_config(self, config_digest: str) -> Descriptor | None:
        """Return the manifest of an image here that has this configuration and all of its blobs and layers."""
        for named in self._layout.names():
            try:
                manifest = self.manifest(named.manifest.digest)
                layers = self.image(named).layers
            except (ValueError, FileNotFoundError, LimosaError):
                continue
            whole = all(self._layout.has(blob) for blob in manifest.layers)
            if manifest.config.digest == config_digest and whole and all(map(self._layout.unpacked, layers)):
                return named.manifest
        return None

    def known_blobs(self) -> dict[Digest, Descriptor]:
        """Return, by diff id, the blob of every layer of every image that is whole."""
        found: dict[Digest, Descriptor] = {}
        for named in self._layout.names():
            try:
                manifest = self.manifest(named.manifest.digest)
                config = oci.parse_config(self._layout.read_json(manifest.config.digest))
            except (ValueError, FileNotFoundError):
                continue
            for diff_id, blob in zip(config.diff_ids, manifest.layers, strict=False):
                if self._layout.has(blob):
                    found[diff_id] = blob
        return found
