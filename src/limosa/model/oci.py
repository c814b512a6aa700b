"""OCI images as values: references, descriptors, manifests and configurations, and the rules to read them.

What comes in was written by strangers: every field is checked for its type before anything is done with it.
Source: OCI Image Specification 1.1 (manifest.md, config.md, image-index.md); the grammar of references is that of
`distribution/reference`.
"""

from collections.abc import Mapping

from limosa.model.errors import LimosaError
from limosa.model.hints import Any, Final
from limosa.model.ids import HEX_DIGITS, Digest, checked_digest
from limosa.model.value import NamedTuple

DOCKER_HUB: Final = "docker.io"
LOCAL: Final = "localhost"
DEFAULT_TAG: Final = "latest"

MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
REF_NAME: Final = "org.opencontainers.image.ref.name"

KIND_LABEL: Final = "org.limosa.kind"
"""The label that says "system" on images whose first process is an init."""


def is_init(command: tuple[str, ...]) -> bool:
    """Say whether an image's command is an init, by its name: what is built on a template inherits the label above."""
    return bool(command) and command[0].rpartition("/")[2] in ("init", "systemd")


_COMPONENT: Final = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*\Z"
_HOST: Final = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?\Z"
_TAG: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z"
_LOOPBACK: Final = r"(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])(?::[0-9]+)?\Z"
_LONGEST_NAME: Final = 255
_LONGEST_ORDINARY: Final = 64
_SHORTEST_DIGITS: Final = 4
_DIGITS: Final = 64


class Reference(NamedTuple):
    """The full name of an image: where, which repository, which tag or digest (never both)."""

    registry: str  # "docker.io", "127.0.0.1:5000", or "localhost" for what was made here
    repository: str  # "library/redis"
    tag: str = ""
    digest: str = ""

    def __str__(self) -> str:
        """Return it as it is written: "docker.io/library/redis:7" or "…/redis@sha256:…"."""
        end = f"@{self.digest}" if self.digest else f":{self.tag}"
        return f"{self.registry}/{self.repository}{end}"

    @property
    def local(self) -> bool:
        """Whether it names something made here, which no registry has."""
        return self.registry == LOCAL

    @property
    def loopback(self) -> bool:
        """Whether its registry is on this machine, where plain HTTP is normal."""
        import re

        return re.match(_LOOPBACK, self.registry) is not None


def _fits(grammar: str, text: str, separators: str) -> bool:
    """Say whether `text` is of a grammar above.

    Most are words of small letters and digits with one separator between, which are of each of them that allows these
    separators, and need no `re`: it takes 3 ms to load.
    """
    words = text
    for separator in separators:
        words = words.replace(separator, "/")
    ordinary = text.isascii() and text == text.lower() and all(word.isalnum() for word in words.split("/"))
    if ordinary and "/" not in text and len(text) <= _LONGEST_ORDINARY:
        return True
    import re

    return re.match(grammar, text) is not None


def parse_reference(text: str, default_registry: str = DOCKER_HUB) -> Reference:
    """Return `text` as a full reference; a name without a registry belongs to `default_registry`.

    Raises: LimosaError LIM-IMG-008: it is not a reference.
    """
    name, _, digest = text.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    registry, repository = _split(f"{head}{slash}{last}", default_registry)
    good = (
        _fits(_HOST, registry, ".-")
        and all(_fits(_COMPONENT, part, "._-") for part in repository.split("/"))
        and len(registry) + len(repository) < _LONGEST_NAME
        and (":" not in name.rpartition("/")[2] or _fits(_TAG, tag, "._-"))
    )
    try:
        digest = checked_digest(digest) if "@" in text else ""
    except ValueError:
        good = False
    if not good:
        raise LimosaError(
            "LIM-IMG-008",
            f"{text!r} is not the name of an image",
            cause="a name is [REGISTRY/]REPOSITORY[:TAG|@sha256:DIGEST], repository in lower case",
            hint="for instance: redis:7, docker.io/library/redis:7, localhost/web",
            exit_status=2,
        )
    return Reference(registry, repository, "" if digest else tag or DEFAULT_TAG, digest)


def _split(name: str, default_registry: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == LOCAL):
        registry, repository = first, rest
    else:
        registry, repository = default_registry, name
    if registry == "index.docker.io":
        registry = DOCKER_HUB
    if registry == DOCKER_HUB and "/" not in repository:
        repository = f"library/{repository}"
    return registry, repository


def candidates(text: str) -> tuple[Reference, ...]:
    """Return the full references that `text` may mean here, in the order in which they are tried.

    What was made here wins over what came from the default registry. Raises: LimosaError LIM-IMG-008.
    """
    local, hub = parse_reference(text, LOCAL), parse_reference(text)
    return (local,) if local == hub else (local, hub)


def abbreviated_digest(text: str) -> str:
    """Return the hexadecimal digits if `text` may be a digest or its beginning (4 digits or more), else ""."""
    digits = text.removeprefix("sha256:")
    return digits if _SHORTEST_DIGITS <= len(digits) <= _DIGITS and HEX_DIGITS.issuperset(digits) else ""


class Descriptor(NamedTuple):
    """What names a blob: its media type, digest and size."""

    media_type: str
    digest: Digest
    size_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return it as the specification writes it."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


class Manifest(NamedTuple):
    """The blobs of one image for one platform; `layers` lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


class RootfsConfig(NamedTuple):
    """How to run what is in an image. Also what an import gives to a root file system that has no configuration."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    cwd: str = "/"
    user: str = ""
    stop_signal: str = ""
    exposed_ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


PLAIN_ROOTFS: Final = RootfsConfig()


class ImageConfig(NamedTuple):
    """What the configuration blob of an image says; `diff_ids` are digests of the unpacked layers, lowest first."""

    run: RootfsConfig
    created: str
    diff_ids: tuple[Digest, ...]


def parse_descriptor(value: object) -> Descriptor:
    """Return a descriptor. Raises: ValueError: it is not one."""
    fields = _object(value, "descriptor")
    size = fields.get("size")
    if type(size) is not int or size < 0:
        raise ValueError(f"a descriptor has the size {size!r}")
    return Descriptor(_text(fields.get("mediaType"), "mediaType"), checked_digest(str(fields.get("digest"))), size)


def parse_manifest(value: object) -> Manifest:
    """Return a manifest. Raises: ValueError: it is not one that can be run (an index, an artifact, …)."""
    fields = _object(value, "manifest")
    if fields.get("schemaVersion") != 2 or "config" not in fields:
        raise ValueError("not an image manifest of schema version 2")
    return Manifest(
        parse_descriptor(fields["config"]), tuple(parse_descriptor(one) for one in _array(fields.get("layers")))
    )


def parse_config(value: object) -> ImageConfig:
    """Return an image's configuration. Raises: ValueError: a field has another type than it must have."""
    fields = _object(value, "configuration")
    run = _object(fields.get("config") or {}, "config")
    rootfs = _object(fields.get("rootfs"), "rootfs")
    env = (one.partition("=") for one in _texts(run.get("Env")))
    return ImageConfig(
        RootfsConfig(
            entrypoint=_texts(run.get("Entrypoint")),
            cmd=_texts(run.get("Cmd")),
            env=tuple((name, value) for name, _, value in env),
            cwd=_text(run.get("WorkingDir"), "WorkingDir") or "/",
            user=_text(run.get("User"), "User"),
            stop_signal=_text(run.get("StopSignal"), "StopSignal"),
            exposed_ports=tuple(sorted(_keys(run.get("ExposedPorts")))),
            volumes=tuple(sorted(_keys(run.get("Volumes")))),
            labels=tuple(sorted((k, _text(v, k)) for k, v in _object(run.get("Labels") or {}, "Labels").items())),
        ),
        _text(fields.get("created"), "created"),
        tuple(checked_digest(one) for one in _texts(rootfs.get("diff_ids"))),
    )


def config_json(run: RootfsConfig, architecture: str, created: str, diff_ids: tuple[Digest, ...]) -> dict[str, Any]:
    """Return a configuration as the specification writes it; `parse_config` reads it back."""
    fields: dict[str, Any] = {
        "Entrypoint": list(run.entrypoint),
        "Cmd": list(run.cmd),
        "Env": [f"{name}={value}" for name, value in run.env],
        "WorkingDir": run.cwd,
        "User": run.user,
        "StopSignal": run.stop_signal,
        "ExposedPorts": {name: {} for name in run.exposed_ports},
        "Volumes": {name: {} for name in run.volumes},
        "Labels": dict(run.labels),
    }
    return {
        "created": created,
        "architecture": architecture,
        "os": "linux",
        "config": {name: value for name, value in fields.items() if value},
        "rootfs": {"type": "layers", "diff_ids": list(diff_ids)},
        "history": [{"created": created, "created_by": "limosa image import"}],
    }


def manifest_json(config: Descriptor, layers: tuple[Descriptor, ...]) -> dict[str, Any]:
    """Return a manifest as the specification writes it."""
    return {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.as_json(),
        "layers": [layer.as_json() for layer in layers],
    }


def platform_manifest(index: object, architecture: str) -> Digest | None:
    """Return the digest of the first manifest of an index for Linux on `architecture`, None if there is none.

    Raises: ValueError: it is not an index.
    """
    for entry in _array(_object(index, "index").get("manifests")):
        platform = _object(_object(entry, "entry").get("platform") or {}, "platform")
        if platform.get("os") == "linux" and platform.get("architecture") == architecture:
            return parse_descriptor(entry).digest
    return None


def _object(value: object, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: an object is needed")
    return value


def _array(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ValueError("an array is needed")
    return value


def _text(value: object, where: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{where}: a text is needed")
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(_text(one, "item") for one in _array(value))


def _keys(value: object) -> tuple[str, ...]:
    return tuple(_object(value or {}, "set"))
