"""Debian with systemd, by mmdebstrap."""

import os
import shlex
from collections.abc import Callable
from typing import Final

from limosa.adapters.templates import systemd
from limosa.adapters.templates.tree import Tree
from limosa.linux import files, process
from limosa.model.oci import KIND_LABEL, RootfsConfig
from limosa.model.value import NamedTuple
from limosa.ports.templates import Template


class Suite(NamedTuple):
    """A release of Debian."""

    version: str
    codename: str
    systemd_version: int


SUITES: Final = (Suite("13", "trixie", 257), Suite("12", "bookworm", 252))
_LAST_LINES: Final = 8
_MIRROR: Final = "http://deb.debian.org/debian"
_SECURITY: Final = "http://deb.debian.org/debian-security"


class BuildFailed(Exception):
    """mmdebstrap failed; the message has its last lines."""


def template(suite: Suite) -> Template:
    """Return the template of a release."""
    env = systemd.ENV_SINCE_254 if suite.systemd_version >= 254 else ()
    run = RootfsConfig(cmd=("/sbin/init",), env=env, stop_signal="SIGRTMIN+3", labels=((KIND_LABEL, "system"),))
    return Template(
        f"debian:{suite.version}",
        f"localhost/debian:{suite.version}",
        run,
        f"Debian {suite.version} ({suite.codename}) with systemd",
    )


def build(wanted: Template, archive: str, program: Callable[[str], str], log: Callable[[str], None]) -> None:
    """Write the root file system of a release. Raises: BuildFailed, OSError."""
    suite = next(one for one in SUITES if template(one).name == wanted.name)
    overlay = f"{archive}.overlay"
    try:
        _write_overlay(overlay, suite)
        # mmdebstrap works below TMPDIR, which must not be a small tmpfs.
        said: list[str] = []

        def on_line(line: str) -> None:
            said.append(line)
            log(line)

        argv = [
            *_ends_with_us(program),
            program("mmdebstrap"),
            "--mode=root",
            "--variant=minbase",
            "--format=tar",
            '--aptopt=APT::Install-Recommends "false"',
            f"--include={','.join(systemd.PACKAGES)}",
            f"--customize-hook=tar-in {shlex.quote(overlay)} /",
            '--customize-hook=rm -f "$1/etc/machine-id" && : >"$1/etc/machine-id"',
            suite.codename,
            archive,
            *_sources(suite.codename),
        ]
        environment = {**os.environ, "TMPDIR": os.path.dirname(archive), "LC_ALL": "C.UTF-8"}
        if process.stream(argv, on_line, env=environment) != 0 or not os.path.exists(archive):
            raise BuildFailed(" / ".join(said[-_LAST_LINES:]))
    finally:
        files.remove_file(overlay)


def _ends_with_us(program: Callable[[str], str]) -> list[str]:
    """Return what runs a command in mount and pid namespaces that end with it, and it with this process."""
    apart = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return [program("setpriv"), "--pdeathsig", "KILL", program("unshare"), *apart]


def _sources(codename: str) -> list[str]:
    """Return lines of sources.list from the archives that the machine's own sources name, so that a mirror is used."""
    listed = process.capture(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"])
    found: dict[str, str] = {}
    for line in listed.stdout.decode(errors="replace").splitlines():
        origin, label, uri = [*line.split("|"), "", ""][:3]
        if origin == "Debian" and uri:
            found.setdefault(label, uri.rstrip("/"))
    mirror = found.get("Debian", _MIRROR)
    security = found.get("Debian-Security", _SECURITY if mirror == _MIRROR else "")
    lines = [f"deb {mirror} {codename} main", f"deb {mirror} {codename}-updates main"]
    return [*lines, f"deb {security} {codename}-security main"] if security else lines


def _write_overlay(path: str, suite: Suite) -> None:
    texts = {**systemd.TEXTS, **(systemd.SINCE_254 if suite.systemd_version >= 254 else {})}
    with Tree(path) as tree:
        for unit in systemd.MASKED:
            tree.link(f"etc/systemd/system/{unit}", "/dev/null")
        tree.link("etc/systemd/system/default.target", "/lib/systemd/system/multi-user.target")
        tree.texts(texts)
