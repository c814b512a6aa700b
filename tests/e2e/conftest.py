"""A limosa host of its own for each test, and Debian root file systems to run in it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.imported import CACHE, LIMOSA
from tests.limosa_command import Limosa

__all__ = ["LIMOSA", "Limosa"]

os.environ["LIMOSA_CHECK_WRITTEN"] = "1"  # every commit is held against a full copy (docs/adr/0032)
PYTHON = ("bookworm", "python3,iproute2,procps")
REDIS = ("bookworm", "redis-server")
POSTGRESQL = ("bookworm", "postgresql,iproute2,procps,python3-psycopg2")


@contextmanager
def new_host() -> Iterator[Limosa]:
    """Give a host that is empty before, and is emptied at the end of the `with` block."""
    root = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(root, 0o711)
    host = Limosa(root)
    try:
        yield host
    finally:
        names = list(host.records())
        if names:
            host("rm", "--force", *names)
        host("recover")
        shutil.rmtree(root)


@pytest.fixture
def limosa(no_residue: None) -> Iterator[Limosa]:
    """A host that is empty before and must be empty after: no mount, cgroup or interface is left."""
    del no_residue
    with new_host() as host:
        yield host


def _rootfs(suite: str, include: str) -> str:
    """Return a tar with a Debian root file system, built once per machine, in the machine's own network."""
    path = f"{CACHE}/{suite}-{hashlib.sha256(include.encode()).hexdigest()[:12]}.tar"
    return _built_once(path, "mmdebstrap", "--quiet", "--variant=minbase", f"--include={include}", suite)


def _built_once(path: str, *build: str) -> str:
    """Let a command write `path`, the word that it gets last, if no test run on this machine has done so before."""
    os.makedirs(CACHE, exist_ok=True)
    with open(f"{path}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path):
            outside = os.environ.get("LIMOSA_TEST_OUTER_NET")
            enter = ("nsenter", f"--net={outside}") if outside else ()
            subprocess.run([*enter, *build, f"{path}.new.tar"], check=True, timeout=900, stdout=subprocess.DEVNULL)
            os.replace(f"{path}.new.tar", path)
    return path


BUILD_TEMPLATE = """\
import shutil, sys
from limosa.adapters.templates import BuiltTemplates
templates = BuiltTemplates(shutil.which)
templates.build(templates.find(sys.argv[1]), sys.argv[2], print)
"""


def template_rootfs(name: str) -> str:
    """Return a tar with what `template build NAME` makes, built once per machine."""
    sources = os.path.join(os.path.dirname(__file__), "../../src/limosa/adapters/templates")
    state = hashlib.sha256()
    for file in sorted(os.listdir(sources)):
        if file.endswith(".py"):
            with open(f"{sources}/{file}", "rb") as opened:
                state.update(opened.read())
    path = f"{CACHE}/template-{name.replace(':', '-')}-{state.hexdigest()[:12]}.tar"
    return _built_once(path, os.path.abspath(".venv/bin/python"), "-c", BUILD_TEMPLATE, name)


@pytest.fixture(scope="session")
def debian_12_rootfs() -> str:
    """Debian 12 with systemd, as `template build debian:12` makes it."""
    return template_rootfs("debian:12")


@pytest.fixture(scope="session")
def debian_13_rootfs() -> str:
    """Debian 13 with systemd, as `template build debian:13` makes it."""
    return template_rootfs("debian:13")


@pytest.fixture(scope="session")
def sysvinit_rootfs() -> str:
    """A Debian 12 with sysvinit, and nothing done to make it fit for a container."""
    return _rootfs("bookworm", "sysvinit-core,procps")


@pytest.fixture(scope="session")
def postgresql_rootfs() -> str:
    """A Debian 12 with PostgreSQL 15, its cluster made by the package, and Python to speak to it."""
    return _rootfs(*POSTGRESQL)


@pytest.fixture(scope="session")
def redis_rootfs() -> str:
    """A Debian 12 with redis."""
    return _rootfs(*REDIS)


@pytest.fixture(scope="session")
def python_rootfs() -> str:
    """A Debian 12 with the whole of Python's standard library, for programs that a test writes."""
    return _rootfs(*PYTHON)


@pytest.fixture(scope="session")
def gcc_rootfs() -> str:
    """A Debian 12 in which C is built."""
    return _rootfs("bookworm", "gcc,libc6-dev,make")


BUSYBOX_ACCOUNTS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nguest:x:1000:1000::/:/sbin/nologin\n",
    "etc/group": "root:x:0:\nguest:x:1000:\n",
}


@pytest.fixture(scope="session")
def busybox_rootfs(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tar with busybox and its links: the smallest root file system with a shell. Built once per machine."""
    program = shutil.which("busybox") or "/bin/busybox"
    with open(program, "rb") as file:
        state = hashlib.sha256(file.read() + repr(BUSYBOX_ACCOUNTS).encode())
    path = f"{CACHE}/busybox-{state.hexdigest()[:12]}.tar"
    if os.path.exists(path):
        return path
    os.makedirs(CACHE, exist_ok=True)
    tree = tmp_path_factory.mktemp("busybox")
    for name in ("bin", "etc", "root", "tmp", "proc", "sys", "dev", "run", "var"):
        (tree / name).mkdir()
    (tree / "tmp").chmod(0o1777)
    shutil.copy(program, tree / "bin/busybox")
    applets = subprocess.run([tree / "bin/busybox", "--list"], check=True, capture_output=True, text=True).stdout
    for name in applets.split():
        if name != "busybox":
            (tree / "bin" / name).symlink_to("busybox")
    for name, text in BUSYBOX_ACCOUNTS.items():
        (tree / name).write_text(text)
    new = f"{path}.{os.getpid()}"
    subprocess.run(["tar", "--owner=0", "--group=0", "-C", tree, "-cf", new, "."], check=True)
    os.replace(new, path)
    return path
