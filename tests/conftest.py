"""What every test relies on: a skip must be earned, and the host's device nodes and shared layers stay as they were.

A test that needs something that not every platform has says so: `@pytest.mark.needs("cgroup v2")`.  It is skipped only
where that is really absent.  Any other skip fails the run, so that a green run means that everything that can be shown
on this platform was shown.
"""

import os
import stat
from collections.abc import Callable, Iterator

import pytest
from hypothesis import settings

from limosa.adapters.criu import kernel_cache
from limosa.wiring_setup import TOOLS_DIR
from tests import imported, own_cgroup

# A machine with much to do is no error: no test asserts an absolute time.
settings.register_profile("limosa", deadline=None)
settings.load_profile("limosa")

_DEVICES = (
    "null",
    "zero",
    "full",
    "random",
    "urandom",
    "tty",
    "ptmx",
    "console",
    "fuse",
    "loop-control",
    "net/tun",
    "kmsg",
)


def _cgroup_v2() -> bool:
    return os.path.exists("/sys/fs/cgroup/cgroup.controllers")


def _soft_dirty() -> bool:
    from limosa.adapters.probes import isolated

    return isolated.attempt("soft-dirty", ()).status == "works"


def _outer_network() -> bool:
    return "LIMOSA_TEST_OUTER_NET" in os.environ


# What a test can need -> whether it is here.
NEEDS: dict[str, Callable[[], bool]] = {
    "root": lambda: os.geteuid() == 0,
    "cgroup v2": _cgroup_v2,
    "hybrid cgroups": lambda: not _cgroup_v2(),
    "soft-dirty": _soft_dirty,
    "an outer network": _outer_network,
    "systemd": lambda: os.path.isdir("/run/systemd/system"),
}
_known: dict[str, bool] = {}


def _here(need: str) -> bool:
    if need not in _known:
        _known[need] = NEEDS[need]()
    return _known[need]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--compatibility", action="store_true", help="write docs/compatibility.md from the matrix's run")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(what): skipped where the platform lacks it; see tests/conftest.py")
    config.pluginmanager.register(_Guard(), "limosa-guard")
    if own_cgroup.possible():
        moved = own_cgroup.enter()
        config.add_cleanup(lambda: own_cgroup.leave(moved))
    criu = f"{TOOLS_DIR}/current/criu"
    if os.geteuid() == 0 and os.access(criu, os.X_OK):
        kernel_cache.keep(criu)  # a mount that stays until a reboot: there before any test counts mounts


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        session.config.pluginmanager.register(_AtOnce(reporter), "limosa-at-once")


class _AtOnce:
    """Tells of a failure when it happens: a run of an hour may be cut off before its summary."""

    def __init__(self, reporter: "pytest.TerminalReporter") -> None:
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._reporter.line(f"\n{report.nodeid} ({report.when})\n{report.longreprtext}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot run here: what a `needs` marker names, and privileged tests without root."""
    for item in items:
        needs = [mark.args[0] for mark in item.iter_markers("needs")]
        if item.get_closest_marker("privileged"):
            needs.append("root")
        for need in needs:
            if need not in NEEDS:
                raise pytest.UsageError(f"{item.nodeid}: nobody knows the need {need!r}")
            if not _here(need):
                item.add_marker(pytest.mark.skip(reason=f"needs {need}"))


class _Guard:
    """Fails the run for a skip that was not earned, and for a device node or a shared layer that a test changed."""

    def __init__(self) -> None:
        self._unearned: list[str] = []
        self._changed: list[str] = []
        self._written: list[str] = []
        self._before = _device_nodes()

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        need = reason.removeprefix("Skipped: ").removeprefix("needs ")
        if need not in NEEDS or _here(need):
            self._unearned.append(f"{report.nodeid}: {reason}")

    pytest_runtest_logreport = _judge
    pytest_collectreport = _judge

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        after = _device_nodes()
        self._changed = [
            f"/dev/{name}: {self._before.get(name)} became {after.get(name)}"
            for name in sorted(self._before.keys() | after.keys())
            if self._before.get(name) != after.get(name)
        ]
        self._written = imported.changed()
        if (self._unearned or self._changed or self._written) and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        for title, lines in (
            ("skipped although this platform can run it: a failure", self._unearned),
            ("device nodes of the host were changed: a failure", self._changed),
            ("tests wrote to what all share: a failure", self._written),
        ):
            if lines:
                terminalreporter.section(title, red=True, bold=True)
                for line in lines:
                    terminalreporter.line(line)


def _device_nodes() -> dict[str, tuple[str, int, int]]:
    found = {}
    for name in _DEVICES:
        try:
            status = os.stat(f"/dev/{name}")
        except OSError:
            continue
        found[name] = (stat.filemode(status.st_mode), status.st_uid, status.st_gid)
    return found


@pytest.fixture
def no_residue() -> Iterator[None]:
    """The test leaves no mount, no process of ours in a cgroup, and no cgroup, network interface or namespace file."""
    before = _residue()
    yield
    left = {kind: sorted(after - before[kind]) for kind, after in _residue().items() if after - before[kind]}
    assert not left, f"the test left {left}"


def _residue() -> dict[str, set[str]]:
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        mounts = {line.split()[4] for line in file}
    with open("/proc/net/dev", encoding="ascii") as file:
        interfaces = {line.split(":")[0].strip() for line in file if ":" in line}
    return {"mounts": mounts, "interfaces": interfaces, "cgroups": own_cgroup.groups()}
