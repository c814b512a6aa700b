"""Fetch from Debian archives, by content: every file is checked against its SHA-256 before it is used.

apt's own downloader does the transfer, so the machine's proxies and certificates apply, with a private configuration,
so that the machine's package lists, preferences and installed packages are neither read nor changed.
"""

import os
from collections.abc import Callable, Sequence

from limosa.adapters.toolchain.pins import Pin
from limosa.linux import process
from limosa.ports.toolchain import ToolUnavailable

_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_HELPER = "/usr/lib/apt/apt-helper"

# The suites that "the newest" are looked for in: libraries from the first, what must be new from the second.
_STABLE, _TESTING = "trixie", "forky"
_NEW = "criu libcriu2 libcompel1 crun libblake3-0 libnl-3-200"


def mirror() -> str:
    """Return the archive that the machine's own sources name for Debian, so that a local mirror is used."""
    listed = process.capture(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)"])
    for line in listed.stdout.decode().splitlines():
        origin, label, uri = [*line.split("|"), "", ""][:3]
        if origin == "Debian" and label == "Debian" and uri:
            return uri.rstrip("/")
    return _MIRROR


def architecture() -> str:
    """Return Debian's name of this machine's architecture ("amd64")."""
    return process.run(["dpkg", "--print-architecture"]).decode().strip()


def codename() -> str:
    """Return the name of the machine's own suite ("bookworm"). Source: os-release(5), VERSION_CODENAME."""
    with open("/etc/os-release", encoding="utf-8") as file:
        for line in file:
            key, _, value = line.strip().partition("=")
            if key == "VERSION_CODENAME":
                return value.strip('"')
    raise ToolUnavailable("/etc/os-release names no Debian suite (VERSION_CODENAME)")


def private_apt(directory: str) -> dict[str, str]:
    """Return an environment in which apt keeps everything in `directory` and knows only the newer suites."""
    for part in ("lists/partial", "cache/archives/partial", "state"):
        os.makedirs(f"{directory}/{part}", exist_ok=True)
    for name, text in (
        ("status", ""),
        (
            "sources.list",
            "".join(f"deb [signed-by={_KEYRING}] {mirror()} {suite} main\n" for suite in (_STABLE, _TESTING)),
        ),
        (
            "preferences",
            f"Package: *\nPin: release n={_STABLE}\nPin-Priority: 900\n\n"
            f"Package: {_NEW}\nPin: release n={_TESTING}\nPin-Priority: 990\n",
        ),
        (
            "apt.conf",
            f'Dir::State "{directory}/state"; Dir::State::lists "{directory}/lists";\n'
            f'Dir::State::status "{directory}/status"; Dir::Cache "{directory}/cache";\n'
            f'Dir::Etc::sourcelist "{directory}/sources.list"; Dir::Etc::sourceparts "/dev/null";\n'
            f'Dir::Etc::preferences "{directory}/preferences"; Dir::Etc::preferencesparts "/dev/null";\n'
            'APT::Sandbox::User "root"; APT::Install-Recommends "false"; Acquire::Languages "none";\n',
        ),
    ):
        with open(f"{directory}/{name}", "w", encoding="utf-8") as file:
            file.write(text)
    return {**os.environ, "APT_CONFIG": f"{directory}/apt.conf"}


def fetch(files: Sequence[Pin], directory: str, report: Callable[[str], None]) -> list[str]:
    """Fetch `files` into `directory` and return their paths there.

    Raises: ToolUnavailable: one is no longer in the archive, or its content is not what was pinned.
    """
    from urllib.parse import quote

    env = private_apt(f"{directory}/apt")
    base = mirror()
    argv = [_HELPER, "download-file"]
    paths = []
    for pin in files:
        path = f"{directory}/{os.path.basename(pin.path)}"
        argv += [f"{base}/{quote(pin.path)}", path, f"SHA256:{pin.sha256}"]
        paths.append(path)
    report(f"fetching {len(files)} pinned files from {base}")
    said: list[str] = []
    if process.stream(argv, said.append, env=env) != 0:
        raise ToolUnavailable("a pinned file could not be fetched: " + _failure(said))
    for pin, path in zip(files, paths, strict=True):
        _verify(pin, path)
    return paths


def fetch_newest(names: Sequence[str], directory: str, report: Callable[[str], None]) -> list[str]:
    """Fetch the newest `names` of the newer suites with everything they depend on, and return the paths.

    The archive's signature vouches for them. Raises: ToolUnavailable: they are not there, or not installable.
    """
    env = private_apt(f"{directory}/apt")
    said: list[str] = []
    report(f"reading the package lists of {_STABLE} and {_TESTING}")
    for argv in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "--download-only", "--yes", "-q", *names],
    ):
        if process.stream(argv, said.append, env=env) != 0:
            raise ToolUnavailable("the newer suites do not offer it: " + _failure(said))
    archives = f"{directory}/apt/cache/archives"
    return sorted(f"{archives}/{name}" for name in os.listdir(archives) if name.endswith(".deb"))


def _failure(said: Sequence[str]) -> str:
    errors = [line for line in said if line.startswith("E:") and line != "E: Download Failed"]
    return (errors or [*said, "apt said nothing"])[0]


def _verify(pin: Pin, path: str) -> None:
    import hashlib

    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != pin.sha256:
        raise ToolUnavailable(f"{os.path.basename(path)} has SHA-256 {found}, not the pinned {pin.sha256}")
