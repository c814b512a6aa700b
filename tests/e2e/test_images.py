"""Images as a user meets them: built, pushed, removed, pulled, run."""

import json
import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.registry_process import RegistryProcess
from tests.waiting import eventually

sys.path.append(os.path.join(os.path.dirname(__file__), "../contract/oci_images"))
from archives import entry, tar_of

pytestmark = pytest.mark.privileged
LONG = str(1_000_000 + os.getpid())  # seconds; other test runs have others
# What a directory has, as its own programs see it: type and mode, owner, size of files, name, target.
LISTING = "find /layers -xdev \\( -type f -printf '%M %U:%G %s %p\\n' -o -printf '%M %U:%G %p %l\\n' \\) | sort"
CONTAINERFILE = f"""\
ARG BASE=base
FROM ${{BASE}} AS first
RUN mkdir -p /layers/hidden /layers/replaced /layers/kept && echo one >/layers/hidden/file && echo one >/layers/gone \\
    && echo one >/layers/replaced/old \\
    && ln -s ../gone /layers/kept/link && ln /layers/gone /layers/kept/hard
FROM first
RUN rm -r /layers/hidden /layers/gone /layers/replaced && mkdir /layers/replaced && echo two >/layers/replaced/new
RUN echo three >/layers/set-id && chown 33:44 /layers/set-id && chmod 6755 /layers/set-id && mkfifo /layers/fifo
COPY --chown=5:6 hello /layers/hello
COPY --from=first /layers/kept/link /layers/copied
RUN {LISTING} >/listing; id -u >/who; cat /proc/self/uid_map >>/who; ls -A /dev >/devices
ENV WHO=godwit
LABEL org.example.kind=test
STOPSIGNAL SIGINT
WORKDIR /layers
USER 5:6
ENTRYPOINT ["/bin/sh", "-c"]
CMD ["echo $WHO in $PWD as $(id -u):$(id -g)"]
"""


@pytest.fixture
def registry(tmp_path: object) -> Iterator[str]:
    """A registry on loopback; its name."""
    process = RegistryProcess(str(tmp_path))
    yield process.name
    process.stop()


@pytest.fixture
def context(tmp_path: object) -> str:
    directory = f"{tmp_path}/context"
    os.mkdir(directory)
    for name, text in (
        ("Containerfile", CONTAINERFILE),
        ("hello", "hello\n"),
        ("secret", "x"),
        (".dockerignore", "secret\n"),
    ):
        with open(f"{directory}/{name}", "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(directory, 0o700)
    return directory


def test_build_push_remove_pull_and_run(limosa: Limosa, python_rootfs: str, registry: str, context: str) -> None:
    limosa("image", "import", python_rootfs, "base")
    assert limosa("image", "build", "-q", "-t", "web", context, timeout=240) == "localhost/web:latest\n"
    listing = limosa("run", "--rm", "--network", "none", "--entrypoint", "", "web", "cat", "/listing")
    assert "/layers/replaced/new" in listing
    seen = limosa("run", "--rm", "--network", "none", "-u", "0", "web", LISTING)
    assert seen == listing, "the container sees what the build saw"
    assert "/layers/gone" not in [line.split()[-1] for line in listing.splitlines()]
    who = limosa("run", "--rm", "--network", "none", "web", "cat /who").split()
    assert who[:2] == ["0", "0"]
    assert int(who[2]) > 65536, "the build's root is nobody on the machine"
    devices = limosa("run", "--rm", "--network", "none", "web", "cat /devices").split()
    assert {"null", "zero", "full", "random", "urandom", "tty"} <= set(devices)
    assert not [name for name in devices if name.startswith(("sd", "vd", "nvme", "loop", "mem", "kmsg"))]
    assert limosa("run", "--rm", "--network", "none", "web") == "godwit in /layers as 5:6\n"

    there = f"{registry}/team/web:1"
    limosa("image", "push", "web", there)
    limosa("run", "-d", "--name", "box", "--network", "none", "web", "sleep 1000")
    assert "container box" in limosa("image", "rm", "web", status=1)
    assert limosa.records()["box"]["config"]["stop_signal"] == "SIGINT"
    assert ["org.example.kind", "test"] in limosa.records()["box"]["config"]["labels"]
    limosa("rm", "--force", "box")
    limosa("image", "rm", "web", "base")
    assert json.loads(limosa("images", "--json")) == []
    freed = limosa("system", "prune", "--all")
    assert freed.startswith("freed ")
    assert "MB" in freed, "the build's cache"
    assert not os.listdir(f"{limosa.root}/layers")

    assert "LIM-IMG-001" in limosa("run", "--rm", "--pull", "never", there, "true", status=125)
    assert limosa("run", "--rm", "--network", "none", there) == "godwit in /layers as 5:6\n"
    (image,) = json.loads(limosa("image", "inspect", there))
    assert (image["user"], image["cwd"], image["labels"][0]) == ("5:6", "/layers", ["org.example.kind", "test"])
    assert limosa("run", "--rm", "--network", "none", "-u", "0", there, LISTING) == listing
    shares = {share["what"]: share for share in json.loads(limosa("system", "df", "--json"))}
    assert shares["images"]["total"] == 1
    assert shares["layers"]["size_bytes"] > 1 << 20
    assert shares["build cache"]["size_bytes"] == 0


def test_a_build_that_fails_or_is_killed_leaves_nothing(limosa: Limosa, context: str) -> None:
    limosa("template", "build", "-q", "busybox")
    with open(f"{context}/Containerfile", "w", encoding="ascii") as file:
        file.write("FROM busybox\nRUN echo before && false\n")
    failed = limosa("image", "build", "-t", "web", context, status=1)
    assert "LIM-IMG-005" in failed
    assert "exit status 1" in failed
    with open(f"{context}/Containerfile", "w", encoding="ascii") as file:
        file.write(f"FROM busybox\nRUN echo started && sleep {LONG}\n")
    argv = [LIMOSA, "--root", limosa.root, "image", "build", "-t", "web", context]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as building:
        assert building.stdout is not None
        for line in building.stdout:
            if line == "started\n":
                break
        eventually(sleepers)
        building.send_signal(signal.SIGKILL)
    eventually(lambda: not sleepers())
    assert "unfinished" in limosa("recover")
    assert os.listdir(f"{limosa.root}/build") == ["storage"]
    assert not os.listdir(f"{limosa.root}/oci/work")
    assert limosa("images", "-q").count("\n") == 1
    assert "LIM-IMG-005" in limosa("image", "build", "-t", "web", f"{context}/none", status=1)


def test_what_is_built_on_a_template_runs_its_own_program(limosa: Limosa, context: str) -> None:
    limosa("template", "build", "-q", "busybox")
    with open(f"{context}/Containerfile", "w", encoding="ascii") as file:
        file.write('FROM busybox\nCMD ["echo", "not an init"]\n')
    limosa("image", "build", "-q", "-t", "said", context)
    assert limosa("run", "--rm", "--network", "none", "said") == "not an init\n"
    limosa("create", "--name", "box", "--network", "none", "said")
    limosa("create", "--name", "whole", "--network", "none", "busybox")
    config = {name: record["config"] for name, record in limosa.records().items()}
    assert (config["box"]["kind"], config["whole"]["kind"]) == ("app", "system")
    assert config["box"]["stop_signal"] != "SIGUSR2", "which only busybox's init understands"


def sleepers() -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read().split(b"\0")[:2] == [b"sleep", LONG.encode()]:
                    found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_a_layer_brings_capabilities_but_no_devices(limosa: Limosa, python_rootfs: str, tmp_path: object) -> None:
    limosa.has_image("base", python_rootfs)
    with open(f"{limosa.root}/layer.tar", "wb") as file:
        file.write(
            tar_of(
                [
                    entry("zero", tarfile.CHRTYPE, devmajor=1, devminor=5, mode=0o666),
                    entry("bin", tarfile.DIRTYPE),
                ]
            )
        )
    limosa("image", "import", f"{limosa.root}/layer.tar", "devices")
    layers = [image["layers"] for image in json.loads(limosa("image", "inspect", "base", "devices"))]
    stacked(limosa, "both", [*layers[0], *layers[1]])
    options = ["--rm", "--network", "none", "-u", "0"]
    assert "Permission denied" in limosa("run", *options, "both", "head", "-c", "1", "/zero", status=1)
    assert limosa("run", *options, "both", "stat", "-c", "%t:%T", "/zero") == "1:5\n"
    capability = "struct.pack('<5I', 0x02000001, 1 << 10, 0, 0, 0)"
    program = f"import os, struct; os.setxattr('/usr/bin/nice', 'security.capability', {capability})"
    with open(f"{tmp_path}/Containerfile", "w", encoding="ascii") as file:
        file.write(f'FROM base\nRUN ["python3", "-c", "{program}"]\n')
    limosa("image", "build", "-q", "-t", "capable", str(tmp_path), timeout=240)
    shown = limosa("run", "--rm", "--network", "none", "--user", "1000", "capable", "python3", "-c",
                   "import os; print(os.getxattr('/usr/bin/nice', 'security.capability')[:8].hex())")  # fmt: skip
    assert shown == "0100000200040000\n", "the container's own root has it"


def stacked(limosa: Limosa, name: str, layers: list[str]) -> None:
    """Make an image of layers that are here."""
    from limosa.adapters.oci_images.catalog import Catalog
    from limosa.adapters.oci_images.layout import Layout
    from limosa.model import oci
    from limosa.model.ids import Digest

    layout = Layout(limosa.root)
    catalog = Catalog(layout)
    known = catalog.known_blobs()
    digests = tuple(Digest(layer) for layer in layers)
    config = layout.add_json(oci.config_json(oci.PLAIN_ROOTFS, "amd64", "", digests), oci.CONFIG)
    manifest = layout.add_json(oci.manifest_json(config, tuple(known[one] for one in digests)), oci.MANIFEST)
    from limosa.adapters.oci_images.layout import Named

    layout.rename(add=(Named(f"localhost/{name}:latest", manifest),))


def test_statuses_and_messages(limosa: Limosa) -> None:
    said = limosa("run", "--rm", "nosuch", "true", status=125)
    assert "LIM-IMG-001" in said
    assert "docker.io" in said
    assert "LIM-IMG-003" in limosa("pull", "127.0.0.1:1/none", status=1)
    assert "LIM-IMG-001" in limosa("run", "localhost/none", status=125)
    assert "LIM-IMG-008" in limosa("pull", "No Such", status=2)
    assert "LIM-CLI-002" in limosa("login", "-u", "me", "127.0.0.1:1", status=2)
    assert "LIM-IMG-003" in limosa("login", "-u", "me", "--password-stdin", "127.0.0.1:1", stdin="x", status=1)
    assert "LIM-IMG-003" in limosa("login", "-u", "me", "-p", "x", "127.0.0.1:1", status=1)
    assert "LIM-CLI-003" in limosa("login", "-u", "me", "-p", "x", "--password-stdin", "127.0.0.1:1", status=2)
    assert limosa("logout", "127.0.0.1:1") == "not logged in to 127.0.0.1:1\n"
    assert limosa("image", "prune", "--all") == "freed 0 B\n"
    assert limosa("recover") == "nothing to recover\n"
