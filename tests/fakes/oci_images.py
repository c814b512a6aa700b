"""The `OciImages` port over plain directories and registries in memory, for tests of the engine."""

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from limosa.model import codec, oci
from limosa.model.errors import LimosaError
from limosa.model.ids import Digest
from limosa.model.oci import PLAIN_ROOTFS, RootfsConfig
from limosa.ports.oci_images import DEFAULT_REGISTRY, BuildRequest, DiskUse, OciImage, Progress, Registry


class FakeRegistry:
    """A registry in memory. `images` is by full reference, with the files of each layer; `passwords` closes it."""

    def __init__(self, name: str, passwords: dict[str, str] | None = None) -> None:
        self.name = name
        self.passwords = passwords
        self.images: dict[str, tuple[OciImage, dict[Digest, str]]] = {}
        self.stopped = False

    def stop(self) -> None:
        self.stopped = True


class FakeImages:
    """Images of one root: names in memory, a directory for each layer."""

    def __init__(self, root: str, registries: Sequence[FakeRegistry] = ()) -> None:
        self._root = root
        self._names: dict[str, OciImage] = {}
        self._nameless: dict[Digest, OciImage] = {}
        self._registries = registries
        self._logins: dict[str, tuple[str, str]] = {}

    # Names

    def resolve(self, reference: str) -> OciImage:
        return self._names[self._find(reference)[0]]

    def _find(self, text: str) -> list[str]:
        digits = oci.abbreviated_digest(text)
        for wanted in () if text.startswith("sha256:") and digits else oci.candidates(text):
            same = [
                name
                for name, image in self._names.items()
                if name == str(wanted)
                or (image.digest == wanted.digest and name.startswith(f"{wanted.registry}/{wanted.repository}:"))
            ]
            if same:
                return same
        found = [name for name, image in self._names.items() if digits and image.digest[7:].startswith(digits)]
        if len({self._names[name].digest for name in found}) > 1:
            raise LimosaError("LIM-IMG-011", f"{text!r} means several images", hint="give more digits")
        if not found:
            raise LimosaError("LIM-IMG-001", f"there is no image {text!r} here", hint="pull, build or import it")
        return found

    def all(self) -> list[OciImage]:
        return [self._names[name] for name in sorted(self._names)]

    def nameless(self, layers: tuple[Digest, ...]) -> list[OciImage]:
        named = {image.digest for image in self._names.values()}
        return [one for digest, one in self._nameless.items() if one.layers == layers and digest not in named]

    def tag(self, reference: str, new_reference: str) -> OciImage:
        return self._name(self.resolve(reference), str(oci.parse_reference(new_reference, oci.LOCAL)))

    def _name(self, image: OciImage, name: str) -> OciImage:
        self._names[name] = image._replace(reference=name)
        return self._names[name]

    # Layers

    def _layer(self, digest: Digest) -> str:
        return f"{self._root}/layers/{digest[7:]}"

    def layer_directories(self, image_layers: tuple[Digest, ...]) -> tuple[str, ...]:
        for digest in image_layers:
            if not os.path.isdir(self._layer(digest)):
                raise LimosaError("LIM-IMG-002", f"the layer {digest[7:19]} is missing", hint="pull it again")
        return tuple(map(self._layer, image_layers))

    def _keep(self, digest: Digest, fill: Callable[[str], None]) -> None:
        if os.path.isdir(self._layer(digest)):
            return
        os.makedirs(f"{self._root}/layers", exist_ok=True)
        made = tempfile.mkdtemp(prefix=".", dir=f"{self._root}/layers")
        try:
            fill(made)
            os.rename(made, self._layer(digest))
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _image(self, layers: tuple[Digest, ...], run: RootfsConfig) -> OciImage:
        said = json.dumps([layers, codec.to_jsonable(run)]).encode()
        digest = Digest(f"sha256:{hashlib.sha256(said).hexdigest()}")
        size = sum(_size(directory) for directory in self.layer_directories(layers))
        return OciImage("", digest, layers, "", size, *run)

    # Registries

    def pull(self, reference: str, progress: Progress, registry: Registry = DEFAULT_REGISTRY) -> OciImage:
        wanted = oci.parse_reference(reference)
        there = self._reached(wanted, "pull")
        for name, (image, layers) in there.images.items():
            by_digest = image.digest == wanted.digest and name.startswith(f"{wanted.registry}/{wanted.repository}:")
            if name == str(wanted) or by_digest:
                progress(f"pulling {wanted}", 0, 0)
                for digest, source in layers.items():
                    self._keep(digest, lambda place, source=source: _copy(source, place))  # type: ignore[misc]
                return self._name(image, str(wanted))
        raise LimosaError("LIM-IMG-003", f"cannot pull {wanted}: the registry has no such image", hint="check the name")

    def push(
        self,
        reference: str,
        destination: str,
        progress: Progress,
        registry: Registry = DEFAULT_REGISTRY,
        compression: str = "gzip",
    ) -> None:
        image = self.resolve(reference)
        target = oci.parse_reference(destination or image.reference)
        there = self._reached(target, "push")
        progress(f"pushing {target}", 0, 0)
        sent = {}
        for digest, directory in zip(image.layers, self.layer_directories(image.layers), strict=True):
            sent[digest] = tempfile.mkdtemp(dir=self._root)
            _copy(directory, sent[digest])
        there.images[str(target)] = (image, sent)

    def _at(self, name: str) -> FakeRegistry | None:
        return next((one for one in self._registries if one.name == name), None)

    def _reached(self, reference: oci.Reference, what: str) -> FakeRegistry:
        there = self._at(reference.registry)
        if there is None or there.stopped or reference.local:
            raise LimosaError(
                "LIM-IMG-003", f"cannot {what} {reference}: the registry cannot be reached", hint="check the network"
            )
        if there.passwords is not None and self._logins.get(there.name) not in there.passwords.items():
            raise LimosaError(
                "LIM-IMG-003", f"cannot {what} {reference}: it wants a password", hint=f"limosa login {there.name}"
            )
        return there

    def login(self, registry: str, user: str, password: str, access: Registry = DEFAULT_REGISTRY) -> None:
        there = self._at(registry)
        if there is None or there.stopped:
            raise LimosaError("LIM-IMG-003", f"{registry} cannot be reached", hint="check the network")
        if (there.passwords or {}).get(user) != password:
            raise LimosaError("LIM-IMG-013", f"{registry} refuses the password", hint="check it")
        self._logins[registry] = (user, password)

    def logout(self, registry: str) -> bool:
        return self._logins.pop(registry, None) is not None

    # Files

    def import_archive(
        self, path: str, reference: str, progress: Progress, run: RootfsConfig = PLAIN_ROOTFS
    ) -> OciImage:
        """Takes what `as_archive` gave, an uncompressed tar, or a directory."""
        name = str(oci.parse_reference(reference, oci.LOCAL))
        progress("importing", 0, 0)
        try:
            if os.path.exists(f"{path}/image.json"):
                return self._adopt(path, name, run)
            layer = self._imported(path)
        except (OSError, tarfile.TarError, ValueError) as bad:
            raise LimosaError("LIM-IMG-004", f"{path} cannot be imported", cause=str(bad), hint="give a tar") from bad
        return self._name(self._image((layer,), run), name)

    def _imported(self, path: str) -> Digest:
        staged = tempfile.mkdtemp()
        try:
            if os.path.isdir(path):
                _copy(path, staged)
            else:
                with tarfile.open(path, "r:") as archive:
                    archive.extraction_filter = _inside
                    # Debian 12's Python 3.11.2 knows no filters, and passes that by.
                    archive.extractall(staged, [_inside(one, staged) for one in archive], numeric_owner=True)
            state = hashlib.sha256()
            for place, directories, names in sorted(os.walk(staged)):
                for one in sorted([*directories, *names]):
                    status = os.lstat(f"{place}/{one}")
                    state.update(f"{os.path.relpath(f'{place}/{one}', staged)} {status.st_mode} ".encode())
                    state.update(f"{status.st_uid} {status.st_gid} {int(status.st_mtime)}\n".encode())
                    if one in names and not os.path.islink(f"{place}/{one}"):
                        with open(f"{place}/{one}", "rb") as file:
                            state.update(file.read())
            digest = Digest(f"sha256:{state.hexdigest()}")
            self._keep(digest, lambda place: _copy(staged, place))
            return digest
        finally:
            shutil.rmtree(staged)

    def _adopt(self, path: str, name: str, run: RootfsConfig) -> OciImage:
        with open(f"{path}/image.json", encoding="utf-8") as file:
            image = codec.from_jsonable(OciImage, json.load(file))
        for digest in image.layers:
            self._keep(digest, lambda place, digest=digest: _copy(f"{path}/{digest[7:]}", place))  # type: ignore[misc]
        kept = RootfsConfig(*image[5:])
        said = {field: value for field, value in run._asdict().items() if value != getattr(PLAIN_ROOTFS, field)}
        return self._name(self._image(image.layers, kept._replace(**said)), name)

    @contextmanager
    def as_archive(self, reference: str) -> Iterator[str]:
        image = self._nameless.get(Digest(reference)) or self.resolve(reference)
        with self.workspace() as place:
            for digest, directory in zip(image.layers, self.layer_directories(image.layers), strict=True):
                _copy(directory, f"{place}/{digest[7:]}")
            with open(f"{place}/image.json", "w", encoding="utf-8") as file:
                json.dump(codec.to_jsonable(image), file)
            yield place

    def build(self, request: BuildRequest, log: Callable[[str], None], progress: Progress) -> OciImage:
        """Knows FROM, COPY of one file, and CMD in its form of an array; a RUN fails."""
        name = str(oci.parse_reference(request.reference, oci.LOCAL))
        layers: list[Digest] = []
        run = PLAIN_ROOTFS
        with open(request.containerfile, encoding="utf-8") as file:
            lines = [line.split(maxsplit=1) for line in file.read().splitlines() if line.strip()]
        for word, rest in lines:
            log(f"{word} {rest}")
            if word == "FROM":
                base = self._base(rest, progress)
                layers, run = list(base.layers), RootfsConfig(*base[5:])
            elif word == "COPY":
                layers.append(self._copied(request.context, *rest.split()))
            elif word == "CMD":
                run = run._replace(cmd=tuple(json.loads(rest)))
            else:
                raise LimosaError("LIM-IMG-005", "the build failed", cause=f"{word} {rest}", hint="see its lines")
        labels = tuple(sorted({**dict(run.labels), **dict(request.labels)}.items()))
        return self._name(self._image(tuple(layers), run._replace(labels=labels)), name)

    def _base(self, reference: str, progress: Progress) -> OciImage:
        try:
            return self.resolve(reference)
        except LimosaError:
            return self.pull(reference, progress)

    def _copied(self, context: str, source: str, target: str) -> Digest:
        with tempfile.TemporaryDirectory() as tree:
            place = f"{tree}/{target.strip('/')}"
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.copy2(f"{context}/{source}", place)
            return self._imported(tree)

    # What goes

    def remove(self, reference: str, layers_in_use: frozenset[Digest]) -> list[str]:
        names = self._find(reference)
        for name in names:
            image = self._names.pop(name)
            self._nameless[image.digest] = image._replace(reference="")
        self.prune(layers_in_use)
        return names

    def prune(self, layers_in_use: frozenset[Digest], *, build_cache: bool = False) -> int:
        freed = 0
        self._nameless = {key: one for key, one in self._nameless.items() if layers_in_use.issuperset(one.layers)}
        for digest in self._unused(layers_in_use):
            freed += _size(self._layer(digest))
            shutil.rmtree(self._layer(digest))
        return freed

    def _unused(self, layers_in_use: frozenset[Digest]) -> list[Digest]:
        needed = layers_in_use.union(*(image.layers for image in self._names.values()))
        return [digest for digest in self._kept() if digest not in needed]

    def _kept(self) -> list[Digest]:
        place = f"{self._root}/layers"
        return [Digest(f"sha256:{name}") for name in sorted(os.listdir(place))] if os.path.isdir(place) else []

    def tidy(self) -> list[str]:
        return []

    def disk_use(self, layers_in_use: frozenset[Digest]) -> DiskUse:
        kept = self._kept()
        unused = sum(_size(self._layer(digest)) for digest in self._unused(layers_in_use))
        return DiskUse(0, sum(_size(self._layer(digest)) for digest in kept), len(kept), 0, unused)

    @contextmanager
    def workspace(self) -> Iterator[str]:
        with tempfile.TemporaryDirectory(dir=self._root) as place:
            yield place


def _inside(member: tarfile.TarInfo, place: str) -> tarfile.TarInfo:
    if ".." in member.name.split("/") or member.name.startswith("/"):
        raise ValueError(f"{member.name} leads out of the archive")
    return member


def _copy(source: str, target: str) -> None:
    """Copy a tree with owners and times."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    for place, directories, names in os.walk(source, topdown=False):
        for one in [*directories, *names]:
            path = f"{place}/{one}"
            status = os.lstat(path)
            copied = f"{target}/{os.path.relpath(path, source)}"
            if os.geteuid() == 0:
                os.lchown(copied, status.st_uid, status.st_gid)
            os.utime(copied, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _size(directory: str) -> int:
    return sum(os.lstat(f"{place}/{one}").st_size for place, _, names in os.walk(directory) for one in names)
