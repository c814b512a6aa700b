"""SIGKILL of any command at any moment, then `recover`: nothing is left, and the container is as before or as after."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from tests import imported, own_cgroup
from tests.fault import saboteur
from tests.imported import LIMOSA
from tests.registry_process import RegistryProcess
from tests.waiting import eventually

pytestmark = pytest.mark.privileged

POINTS_OF_A_CHANGE = 4
POINTS_OF_ALL = 40  # each run takes others
SLEEP = ("sleep", "1000")


class Site:
    """A limosa host with an image and one container that runs all the time, so that the pool stays mounted."""

    def __init__(self, root: str, rootfs: str) -> None:
        self.root = root
        self.rootfs = rootfs
        self.registry = ""
        self.calls_of_run = 0
        self.is_clear = False

    def __call__(self, *argv: str, status: int = 0) -> str:
        """Run a command in a copy of this process: Python need not start, and nothing of it stays open here."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
            found = saboteur.in_copy(["--root", self.root, *argv], out.fileno(), errors.fileno())
            texts = [os.pread(file.fileno(), 1 << 24, 0).decode(errors="replace") for file in (out, errors)]
        assert found == status, f"limosa {' '.join(argv)}: {found}\n{''.join(texts)}"
        return texts[0]

    def records(self) -> dict[str, Any]:
        return {one["config"]["name"]: one for one in json.loads(self("ps", "-a", "--json"))}

    def inside(self, name: str) -> None:
        """Show that a container lives: something can be executed in it."""
        argv = [LIMOSA, "--root", self.root, "exec", name, "true"]
        done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
        assert done.returncode == 0, f"exec in {name}: {done.stderr}"

    def residue(self) -> dict[str, list[str]]:
        """Return everything that a command could have left, by kind."""
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            mounts = [line.split()[4] for line in file if self.root in line]
        rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
        links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, check=True).stdout)
        return {
            "mounts": sorted(mounts),
            "interfaces": sorted(one["ifname"] for one in links),
            "rules": sorted(re.sub(r"packets \d+ bytes \d+", "", rules).splitlines()),
            "cgroups": sorted(here for top in own_cgroup.groups() for here, _, _ in os.walk(top)),
            "loop devices": sorted(_backing_files(self.root)),
            "processes": sorted(self._processes()),
            "files": sorted(self._files()),
        }

    def _processes(self) -> Iterator[str]:
        for name in os.listdir("/proc"):
            if not name.isdigit() or int(name) == os.getpid():
                continue
            try:
                with open(f"/proc/{name}/cmdline", "rb") as file:
                    line = file.read().replace(b"\0", b" ").decode(errors="replace").strip()
                with open(f"/proc/{name}/cgroup", encoding="ascii") as file:
                    ours = any(f"/limosa-tests-{os.getpid()}/limosa" in group for group in file)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if ours or self.root in line:
                yield f"{name} {line}"

    def _files(self) -> Iterator[str]:
        """Names of files, apart from the content of containers, layers and the store, whose own tests break it."""
        for place, directories, names in os.walk(self.root):
            depth = place.removeprefix(self.root).count("/")
            if place == self.root:
                directories[:] = [name for name in directories if name != "commits"]
            if depth >= 3 or place.endswith("/merged"):
                directories.clear()
            yield from (f"{place}/{name}" for name in (*names, *directories))


def _backing_files(root: str) -> Iterator[str]:
    for device in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{device}/loop/backing_file", encoding="utf-8") as file:
                path = file.read().strip()
        except OSError:
            continue
        if path.startswith(root):
            yield path


class Scenario(NamedTuple):
    """A command, what there is before it, and how things must be after its kill and `recover`."""

    argv: tuple[str, ...]
    before: Callable[[Site], None]
    after: Callable[[Site], None]


def nothing(site: Site) -> None:
    del site


def created(site: Site) -> None:
    site("create", "--name", "it", "-p", "18090:80", "box", *SLEEP)


def runs(site: Site) -> None:
    site("run", "-d", "--name", "it", "-p", "18090:80", "box", *SLEEP)


def committed(site: Site) -> None:
    site("run", "-d", "--name", "it", "-p", "18090:80", "box", *SLEEP)
    site("checkpoint", "--stop", "it")


def committed_running(site: Site) -> None:
    site("run", "-d", "--name", "it", "-p", "18090:80", "box", *SLEEP)
    site("checkpoint", "it")


def lost(site: Site) -> None:
    """It runs, says its record; monitor and program were killed."""
    site("run", "-d", "--name", "it", "--restart", "always", "box", *SLEEP)
    one = site.records()["it"]
    for pid in (one["monitor_pid"], one["init_pid"]):
        os.kill(pid, signal.SIGKILL)


def as_before_or_after(site: Site) -> None:
    """The container is whole or gone; it can be started, entered and removed."""
    records = site.records()
    if "it" not in records:
        return
    # A keeper that lives may be starting it at this moment.
    eventually(lambda: site.records()["it"]["phase"] in ("created", "running", "stopped", "restarting"))
    site("start", "it")
    site.inside("it")


def goes_on(site: Site) -> None:
    """The container was not touched."""
    assert site.records()["it"]["phase"] == "running"
    site.inside("it")


def gone_or_never_there(site: Site) -> None:
    assert "it" not in site.records() or site.records()["it"]["phase"] == "running"


def copies(site: Site) -> None:
    assert {one["phase"] for one in site.records().values()} <= {"running", "stopped"}
    if "copy" in site.records():
        site.inside("copy")


def warmed(site: Site) -> None:
    committed(site)
    site("fork", "--warm", "1", "it")


def taken_or_waits(site: Site) -> None:
    """A copy that was made ahead waits, and can be taken under that name, or it runs, or there is none."""
    if "copy" not in site.records() or site.records()["copy"]["warm_of"]:
        site("fork", "--name", "copy", json.loads(site("log", "--json"))[-1]["commit_id"])
    site.inside("copy")
    assert site("pool", "rm", "--all") == "", "it was taken"


def tried(site: Site) -> None:
    """The container was not touched, and of what was tried beside it nothing is left."""
    assert set(site.records()) == {"base", "it"}
    goes_on(site)


def restorable(site: Site) -> None:
    if site.records()["it"]["phase"] != "running":
        site("restore", json.loads(site("log", "--json"))[-1]["commit_id"])
    site.inside("it")


def mounted(site: Site) -> None:
    committed_running(site)
    site("mount", "it", f"{site.root}/look")


def unmounted(site: Site) -> None:
    """A commit is mounted whole, or not at all and nothing of it is left."""
    goes_on(site)
    there = [one["directory"] for one in json.loads(site("mount", "--json"))]
    assert there in ([], [f"{site.root}/look"])
    assert bool(there) == os.path.exists(f"{site.root}/look/bin/sh")
    if there:
        site("umount", *there)
    assert os.listdir(f"{site.root}/mounts") == ["lock"]


def held_or_not(site: Site) -> None:
    phase = site.records()["it"]["phase"]
    assert phase in ("paused", "stopped"), phase
    if phase == "stopped":
        site("restore", "--no-start", json.loads(site("log", "--json"))[-1]["commit_id"])
    site("start", "it")
    site.inside("it")


def pruned(site: Site) -> None:
    """What came in whole and has no name is no damage, and goes with `prune`."""
    for image in json.loads(site("images", "--json")):
        if image["reference"] != "localhost/box:latest":
            site("image", "rm", image["reference"])
    site("image", "prune")


def with_a_volume(site: Site) -> None:
    site("volume", "create", "kept")


def volume_or_none(site: Site) -> None:
    """The volume is whole, and can be used and removed, or gone."""
    if '"kept"' in site("volume", "ls", "--json"):
        site("run", "-d", "--name", "it", "-v", "kept:/kept", "box", *SLEEP)
        site.inside("it")
        site("rm", "--force", "it")
        site("volume", "rm", "kept")


def cut_off(site: Site) -> None:
    """A start was killed when most of the container was there."""
    argv = ["--root", site.root, "run", "-d", "--name", "it", "-p", "18090:80", "box", *SLEEP]
    if not site.calls_of_run:
        site.calls_of_run = saboteur.run(argv, 0)[1]
        site("rm", "--force", "it")
    saboteur.run(argv, site.calls_of_run * 3 // 4)
    assert site.records()["it"]["phase"] == "starting"


def within_limits(site: Site) -> None:
    """It goes on, with all of the old limits or with all of the new ones in its groups and in its record."""
    goes_on(site)
    limits = site.records()["it"]["config"]["limits"]
    assert limits["pids"] in (4096, 99)
    site("set", "--pids", "77", "it")
    site.inside("it")


SCENARIOS = {
    "run": Scenario(("run", "-d", "--name", "it", "-p", "18090:80", "box", *SLEEP), nothing, as_before_or_after),
    "run-rm": Scenario(("run", "--rm", "--name", "it", "box", "true"), nothing, gone_or_never_there),
    "create": Scenario(("create", "--name", "it", "-p", "18090:80", "box", *SLEEP), nothing, as_before_or_after),
    "start": Scenario(("start", "it"), created, as_before_or_after),
    "stop": Scenario(("stop", "-t", "0", "it"), runs, as_before_or_after),
    "restart": Scenario(("restart", "-t", "0", "it"), runs, as_before_or_after),
    "rm": Scenario(("rm", "--force", "it"), runs, as_before_or_after),
    "exec": Scenario(("exec", "it", "true"), runs, goes_on),
    "checkpoint": Scenario(("checkpoint", "it"), runs, goes_on),
    "checkpoint-stop": Scenario(("checkpoint", "--stop", "it"), runs, as_before_or_after),
    "restore": Scenario(("restore", "COMMIT"), committed, restorable),
    "rewind": Scenario(("rewind", "it", "COMMIT"), committed_running, as_before_or_after),
    "restore-no-start": Scenario(("restore", "--no-start", "COMMIT"), committed, held_or_not),
    "mount": Scenario(("mount", "COMMIT", "DIR"), committed_running, unmounted),
    "umount": Scenario(("umount", "DIR"), mounted, unmounted),
    "fork": Scenario(("fork", "--name", "copy", "COMMIT"), committed, copies),
    "fork-warm": Scenario(("fork", "--warm", "1", "COMMIT"), committed, taken_or_waits),
    "fork-take": Scenario(("fork", "--name", "copy", "COMMIT"), warmed, taken_or_waits),
    "pool-rm": Scenario(("pool", "rm", "COMMIT"), warmed, taken_or_waits),
    "verify-trial": Scenario(
        ("verify", "--trial", "--run", "0.1", "--probe", "true", "COMMIT"), committed_running, tried
    ),
    "forget": Scenario(("forget", "COMMIT"), committed, as_before_or_after),
    "exited": Scenario(("internal-exited", "ID"), lost, as_before_or_after),
    "import": Scenario(("image", "import", "TAR", "other"), nothing, pruned),
    "pull": Scenario(("pull", "--quiet", "REGISTRY/small"), nothing, pruned),
    "set": Scenario(("set", "--memory", "300m", "--pids", "99", "--cpus", "1", "it"), runs, within_limits),
    "set-disk": Scenario(("set", "--disk", "300m", "it"), created, as_before_or_after),
    "volume": Scenario(("volume", "create", "kept"), nothing, volume_or_none),
    "volume-rm": Scenario(("volume", "rm", "kept"), with_a_volume, volume_or_none),
    "run-volume": Scenario(("run", "--rm", "--name", "it", "-v", "/data", "box", "true"), nothing, gone_or_never_there),
    "recover": Scenario(("recover",), cut_off, as_before_or_after),
    "recover-lost": Scenario(("recover",), lost, as_before_or_after),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    process = RegistryProcess(str(tmp_path_factory.mktemp("registry")))
    yield process.name
    process.stop()


@pytest.fixture(scope="module")
def site(postgresql_rootfs: str, registry: str) -> Iterator[Site]:
    root = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(root, 0o711)
    tree = tempfile.mkdtemp(prefix="limosat-tar-", dir="/var/tmp")
    os.makedirs(f"{tree}/etc")
    with open(f"{tree}/etc/hostname", "w", encoding="ascii") as file:
        file.write("small\n")
    made = Site(root, tree)
    os.mkdir(f"{root}/look")
    try:
        imported.give(root, postgresql_rootfs, "box")
        made("run", "-d", "--name", "base", "box", "sleep", "1000000")  # longer than all kills take
        made("create", "--name", "warm", "box", *SLEEP)
        made("rm", "warm")
        made("image", "import", "--change", "CMD=true", tree, "small")
        made("image", "push", "small", f"{registry}/small")
        made("image", "rm", "small")
        made("volume", "create", "warm")
        made("volume", "rm", "warm")
        made.registry = registry
        yield made
        clear(made)
        made("rm", "--force", "base")
        made("recover")
    finally:
        shutil.rmtree(root, ignore_errors=True)
        shutil.rmtree(tree)


def one_point(site: Site, scenario: Scenario, fatal: int) -> int:
    """Kill the command at its call `fatal` (0: never), recover, judge, clear; return how many calls it made."""
    if not site.is_clear:
        clear(site)
    site.is_clear = False
    before = site.residue()
    scenario.before(site)
    argv = ["--root", site.root, *(_word(site, word) for word in scenario.argv)]
    status, calls = saboteur.run(argv, fatal)
    # Now and then a command is through with fewer calls than the last time, and not killed.
    assert os.WIFSIGNALED(status) or status == 0, f"the command ended with {status} at call {fatal}"
    site("recover")
    scenario.after(site)
    clear(site)
    deadline = time.monotonic() + 15
    while True:  # what was orphaned needs a moment to see that it is alone
        left = {kind: sorted(set(now) - set(before[kind])) for kind, now in site.residue().items()}
        if not fatal:
            left.pop("files")  # what is made once for a root is made now
        if not any(left.values()) or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert not any(left.values()), f"killed at call {fatal}: left {left}"
    site.is_clear = True
    return calls


def clear(site: Site) -> None:
    names = [name for name in site.records() if name != "base"]
    if names:
        site("rm", "--force", *names)
    site("volume", "prune")
    pruned(site)


def _word(site: Site, word: str) -> str:
    if word == "COMMIT":
        return str(json.loads(site("log", "--json"))[-1]["commit_id"])
    if word == "ID":
        return str(site.records()["it"]["container_id"])
    known = {"TAR": site.rootfs, "DIR": f"{site.root}/look"}
    return known.get(word, word.replace("REGISTRY", site.registry))


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_some_points(site: Site, name: str) -> None:
    calls = one_point(site, SCENARIOS[name], 0)
    assert calls > 3
    step = max(1, calls // POINTS_OF_A_CHANGE)
    for fatal in range(1 + calls % step // 2, calls + 1, step):
        one_point(site, SCENARIOS[name], fatal)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_many_points(site: Site, name: str) -> None:
    calls = one_point(site, SCENARIOS[name], 0)
    failures = []
    step = max(1, calls // POINTS_OF_ALL)
    for fatal in range(random.randint(1, step), calls, step):
        try:
            one_point(site, SCENARIOS[name], fatal)
        except AssertionError as failed:
            print(f"{fatal}: {failed}", file=sys.stderr)  # beside what the command said
            failures.append(f"{fatal}: {failed}")
    assert not failures, "\n".join(failures)
