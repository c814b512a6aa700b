"""Build images with buildah, in a user namespace: what a Containerfile runs is nobody on this machine.

    <root>/build/storage/    buildah's own storage: the cache between builds, owned by the build's host ids
    <root>/build/<name>/     one build at work: base images handed over, the result

buildah is root of a user namespace with host ids of its own, with private mount and pid namespaces that end with it, so
a killed build leaves no mount and no process. Base images come from our layout (pulled before, if need be) and never
by buildah; the context goes in as a tar, since the build's root could not read the owner's directories.
"""

import os
from collections.abc import Callable
from typing import Final

from limosa.adapters.oci_images.catalog import Catalog
from limosa.adapters.oci_images.intake import Intake, translated
from limosa.adapters.oci_images.layout import Layout, Named
from limosa.linux import files, openat2, process, user_namespace
from limosa.model import containerfile, oci
from limosa.model.container import SUBORDINATE_IDS
from limosa.model.errors import LimosaError
from limosa.ports.oci_images import BuildRequest, OciImage, Progress

_LAST_LINES: Final = 12
_MOST_CONTAINERFILE_BYTES: Final = 1 << 20
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_RESULT: Final = "localhost/limosa-build:latest"
_SHORT: Final = "short.invalid"
"""The registry that short names are said to be of, inside a build: each of them was resolved before."""
_DEVICES: Final = """\
set -e
mount -t tmpfs -o mode=755,size=64k limosa "$1"
for node in null zero full random urandom tty; do : >"$1/$node" && mount --bind "/dev/$node" "$1/$node"; done
mkdir "$1/pts" "$1/shm" "$1/mqueue"
mount -t tmpfs -o mode=1777 limosa "$1/shm"
for link in fd stdin:fd/0 stdout:fd/1 stderr:fd/2; do
    case $link in fd) ln -s /proc/self/fd "$1/fd" ;; *) ln -s "/proc/self/${link#*:}" "$1/${link%:*}" ;; esac
done
mount --rbind "$1" /dev
mount -t tmpfs -o mode=755,size=1m limosa /usr/games
shift
exec "$@"
"""

BaseImage = Callable[[str], tuple[Named, OciImage]]
"""Bring an image here, if it is not, and return it."""


class Buildah:
    """Builds of one limosa root."""

    def __init__(
        self,
        program: Callable[[str], str],
        layout: Layout,
        catalog: Catalog,
        intake: Intake,
        directory: str,
        first_host_id: int,
    ) -> None:
        self._program = program
        self._layout = layout
        self._catalog = catalog
        self._intake = intake
        self._directory = directory
        self._first = first_host_id
        self._storage = f"{directory}/storage"

    def build(self, request: BuildRequest, base: BaseImage, log: Callable[[str], None], progress: Progress) -> OciImage:
        """See the port."""
        name = str(oci.parse_reference(request.reference, oci.LOCAL))
        text = _containerfile(request)
        if not os.path.isdir(request.context):
            raise _unusable(f"the context {request.context} is not a directory", request)
        closed = files.closed_to_others(os.path.dirname(self._directory))
        if closed:
            raise LimosaError(
                "LIM-IMG-005",
                "nothing can be built in this root",
                cause=f"{closed} lets only its owner in, and the root of a build is somebody else",
                hint=f"choose another --root, or chmod o+x {closed}",
            )
        bases = {wanted: base(wanted)[0] for wanted in containerfile.base_images(text, dict(request.build_args))}
        work = f"{self._directory}/{os.getpid()}-{os.urandom(4).hex()}"
        try:
            self._make_directories(work)
            box = _Box(self._program, work, self._first, self._driver(work), self._storage)
            for index, (wanted, named) in enumerate(bases.items()):
                self._hand_over(box, f"{work}/base{index}", wanted, named)
            self._write(f"{work}/Containerfile", text)
            self._write(f"{work}/registries.conf", _registries(tuple(bases)))
            box.build(request, log)
            same = self._catalog.with_config(box.built())
            if same is not None:  # every step was in the cache
                return self._intake.register(name, same)
            box.run(
                [
                    "skopeo",
                    "copy",
                    "--dest-oci-accept-uncompressed-layers",
                    box.stored(_RESULT),
                    f"oci:{work}/scratch/result:it",
                ]
            )
            with self._layout.workspace() as workspace, translated("the build's result cannot be kept", "build again"):
                return self._intake.adopt(name, f"{work}/scratch/result", workspace, progress)
        finally:
            files.remove_tree(work)

    def _make_directories(self, work: str) -> None:
        os.makedirs(self._directory, mode=0o711, exist_ok=True)
        os.chmod(self._directory, 0o711)
        for place in (self._storage, work, f"{work}/scratch", f"{work}/run", f"{work}/dev"):
            os.makedirs(place, mode=0o700, exist_ok=True)
            os.chown(place, self._first, self._first)

    def _write(self, path: str, text: str) -> None:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o644)

    def _driver(self, work: str) -> str:
        """Return the storage driver in use: overlay, or vfs where the disk does not let overlayfs use it."""
        for driver in ("overlay", "vfs"):
            if os.path.isdir(f"{self._storage}/{driver}"):
                return driver
        box = _Box(self._program, work, self._first, "overlay", self._storage)
        if box.works(["buildah", *box.places(), "images"]):
            return "overlay"
        files.remove_tree(self._storage)
        self._make_directories(work)
        return "vfs"

    def _hand_over(self, box: "_Box", view: str, wanted: str, named: Named) -> None:
        """Put a base image into buildah's storage under the name that the Containerfile uses."""
        manifest = self._catalog.manifest(named.manifest.digest)
        self._layout.view(view, named.manifest, (manifest.config, *manifest.layers))
        for place, _, names in os.walk(view):
            os.chown(place, self._first, self._first)
            for name in names:
                os.chmod(f"{place}/{name}", 0o644)
        box.run(["skopeo", "copy", "--quiet", f"oci:{view}:it", box.stored(_inner_name(wanted))])


class _Box:
    """Runs programs as root of the build's user namespace."""

    def __init__(self, program: Callable[[str], str], work: str, first_host_id: int, driver: str, storage: str) -> None:
        self._program = program
        self._work = work
        self._first = first_host_id
        self._driver = driver
        self._storage = storage

    def places(self) -> tuple[str, ...]:
        """Return the options that tell buildah its storage."""
        return ("--root", self._storage, "--runroot", f"{self._work}/run", "--storage-driver", self._driver)

    def stored(self, name: str) -> str:
        """Return skopeo's name of an image in buildah's storage."""
        return f"containers-storage:[{self._driver}@{self._storage}+{self._work}/run]{name}"

    def works(self, argv: list[str]) -> bool:
        """Say whether a program succeeds."""
        return self._status(argv, lambda line: None) == 0

    def run(self, argv: list[str]) -> None:
        """Run a program. Raises: LimosaError LIM-IMG-005, LIM-IMG-007."""
        said: list[str] = []
        if self._status(argv, said.append) != 0:
            raise _failed(said)

    def build(self, request: BuildRequest, log: Callable[[str], None]) -> None:
        """Build. Raises: LimosaError LIM-IMG-005, LIM-IMG-007."""
        argv = ["buildah", *self.places(), "build", "--isolation", "chroot", "--pull=never", "--format", "oci"]
        argv += ["--identity-label=false"]
        argv += ["--layers"] if request.use_cache else ["--no-cache"]
        argv += ["--target", request.target] if request.target else []
        for name, value in request.build_args:
            argv += ["--build-arg", f"{name}={value}"]
        for name, value in request.labels:
            argv += ["--label", f"{name}={value}"]
        argv += [
            "--file",
            f"{self._work}/Containerfile",
            "--tag",
            _RESULT,
            "--iidfile",
            f"{self._work}/scratch/id",
            "-",
        ]
        said: list[str] = []

        def on_line(line: str) -> None:
            said.append(line)
            del said[:-_LAST_LINES]
            if _RESULT not in line:  # a name of our own, which is gone when the image has the one that was asked for
                log(line)

        reading, writing = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                # Everything is root's, as COPY makes it anyway: the build has not all of the machine's ids.
                tar = [self._program("tar"), "--create", "--owner=0", "--group=0", "--numeric-owner", "--file=-"]
                packing = process.spawn(
                    [*tar, "--directory", request.context, "."], env={"LC_ALL": "C"}, files=[(writing, 1)]
                )
            finally:
                os.close(writing)
            status = self._status(argv, on_line, reading)
        finally:
            os.close(reading)
        packed = process.wait(packing)
        if status != 0:
            raise _failed(said)
        if packed > 1:
            raise _unusable("not all of the context can be read", request)

    def built(self) -> str:
        """Return the digest of the configuration of what `build` made."""
        descriptor = openat2.open_below(self._work, "scratch/id")
        with open(descriptor, encoding="ascii", errors="replace") as file:
            return file.read(80).strip()

    def _status(self, argv: list[str], on_line: Callable[[str], None], stdin: int | None = None) -> int:
        namespace = user_namespace.with_mapping([(0, self._first, SUBORDINATE_IDS)])
        try:
            enter = [self._program("nsenter"), f"--user=/proc/self/fd/{namespace}", "--setuid", "0", "--setgid", "0"]
            end_with_us = [self._program("setpriv"), "--pdeathsig", "KILL"]
            apart = [
                "unshare",
                "--mount",
                "--propagation",
                "private",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ]
            devices = ["sh", "-c", _DEVICES, "sh", f"{self._work}/dev"]
            command = [self._program(argv[0]), *argv[1:]]
            return process.stream(
                [*enter, *end_with_us, *apart, *devices, *command],
                on_line,
                env=self._environment(),
                cwd=f"{self._work}/scratch",
                stdin=stdin,
                pass_fds=(namespace,),
            )
        finally:
            os.close(namespace)

    def _environment(self) -> dict[str, str]:
        scratch = f"{self._work}/scratch"
        return {
            "PATH": _PATH,
            "LC_ALL": "C.UTF-8",
            "HOME": scratch,
            "TMPDIR": scratch,
            "XDG_RUNTIME_DIR": f"{self._work}/run",
            "CONTAINERS_REGISTRIES_CONF": f"{self._work}/registries.conf",
            # We are in a user namespace already, and root's own caches and configuration are not ours. What executes
            # RUN forgets HOME, looks the user's home up, and from buildah 1.39 on makes .config there. So the user is
            # one of every Debian, games, on whose home a file system of our own is mounted.
            "_CONTAINERS_USERNS_CONFIGURED": "1",
            "_CONTAINERS_ROOTLESS_UID": "5",
        }


def _containerfile(request: BuildRequest) -> str:
    try:
        with open(request.containerfile, encoding="utf-8") as file:
            text = file.read(_MOST_CONTAINERFILE_BYTES + 1)
    except (OSError, UnicodeDecodeError) as unreadable:
        raise _unusable(f"{request.containerfile} cannot be read: {unreadable}", request) from unreadable
    if len(text) > _MOST_CONTAINERFILE_BYTES:
        raise _unusable(f"{request.containerfile} is larger than {_MOST_CONTAINERFILE_BYTES} bytes", request)
    return text


def _is_short(wanted: str) -> bool:
    first, slash, _ = wanted.partition("/")
    return not (slash and ("." in first or ":" in first or first == oci.LOCAL))


def _inner_name(wanted: str) -> str:
    parsed = oci.parse_reference(wanted, _SHORT)
    return str(parsed)


def _registries(wanted: tuple[str, ...]) -> str:
    """Return a registries.conf that has no registry, and knows every short name."""
    shorts = {str(oci.parse_reference(name, _SHORT).repository) for name in wanted if _is_short(name)}
    aliases = "".join(f'"{name}" = "{_SHORT}/{name}"\n' for name in sorted(shorts))
    return f'unqualified-search-registries = []\nshort-name-mode = "disabled"\n[aliases]\n{aliases}'


def _unusable(cause: str, request: BuildRequest) -> LimosaError:
    return LimosaError(
        "LIM-IMG-005",
        f"cannot build {request.reference}",
        cause=cause,
        hint="limosa image build -t NAME [-f CONTAINERFILE] DIRECTORY",
    )


def _failed(lines: list[str]) -> LimosaError:
    said = [line.strip() for line in lines if line.strip()][-_LAST_LINES:]
    if any("no space left on device" in line.lower() for line in said):
        return LimosaError(
            "LIM-IMG-007",
            "the build failed: the disk is full",
            cause=said[-1],
            hint="limosa system prune, or make room",
        )
    return LimosaError(
        "LIM-IMG-005",
        "the build failed",
        cause="\n         ".join(said),
        hint="the cause has the build's last lines; steps that worked are kept for the next build",
    )
