"""Criu, crun and Debian's packages on this machine (docs/adr/0001 says why it is done so)."""

import os
from collections.abc import Callable, Sequence

from limosa.adapters.toolchain import archive, build, pins, tree
from limosa.linux import process
from limosa.model.errors import LimosaError
from limosa.ports.toolchain import BUILT, PINNED, SOURCES, SUITE, SYSTEM, Tool, ToolUnavailable

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NOTE = "source"  # the file of a tree that says where it came from


class DebianToolchain:
    """ports.toolchain.Toolchain over apt, dpkg and a directory of private trees."""

    def __init__(self, tools_dir: str) -> None:
        self._tools_dir = tools_dir

    def missing_packages(self, group: str) -> list[str]:
        """Return the packages of `group` that are not installed, sorted."""
        wanted = pins.packages(group)
        listed = process.capture(["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Abbrev}\n", *wanted])
        installed = {line.split()[0] for line in listed.stdout.decode().splitlines() if line.split()[1:] == ["ii"]}
        return [name for name in wanted if name not in installed]

    def install_packages(self, names: list[str], report: Callable[[str], None]) -> None:
        """Install Debian packages from the machine's own suite."""
        if not names:
            return
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "-q", "--no-install-recommends", *names]
        for argv in (["apt-get", "update", "-q"], install):
            said: list[str] = []

            def note(line: str, said: list[str] = said) -> None:
                said.append(line)
                report(line)

            if process.stream(argv, note, env=env) != 0:
                raise LimosaError(
                    "LIM-TOOL-001",
                    f"cannot install Debian packages: {' '.join(names)}",
                    state="packages that apt had finished stay installed",
                    cause=next((line for line in reversed(said) if line.startswith("E:")), "apt-get failed"),
                    hint=f"run: {' '.join(install)}",
                )

    def obtain(self, name: str, source: str, report: Callable[[str], None]) -> Tool:
        """Return `name` from `source`, fetched, verified and unpacked if it is not there yet."""
        if source == SYSTEM:
            return self._tool(name, self._system(name), SYSTEM)
        os.makedirs(self._tools_dir, mode=0o755, exist_ok=True)
        tree.sweep(self._tools_dir)
        try:
            if source == PINNED:
                made = self._pinned(report)
            elif source == BUILT:
                made = self._built(name, report)
            else:
                made = self._newest(report)
        except (process.CommandFailed, OSError) as failed:
            raise ToolUnavailable(str(failed)) from failed
        return self._tool(name, f"{made}/{tree.PROGRAMS[name]}", source)

    def selected(self, name: str) -> Tool | None:
        """Return the tool that limosa uses now, or None."""
        try:
            path = os.readlink(self.path(name))
            return self._tool(name, path, self._source_of(path))
        except (OSError, ToolUnavailable):
            return None

    def select(self, tools: Sequence[Tool]) -> None:
        """Make `tools` the ones that limosa uses, by one rename of a symbolic link."""
        import hashlib

        wanted = "\n".join(sorted(f"{tool.name} {tool.path}" for tool in tools))
        name = f"selection-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"

        def fill(directory: str, _final: str) -> None:
            for tool in tools:
                os.symlink(tool.path, f"{directory}/{tool.name}")

        os.makedirs(self._tools_dir, mode=0o755, exist_ok=True)
        tree.make(self._tools_dir, name, fill)
        fresh = f"{self._tools_dir}/current.{os.getpid()}"
        os.symlink(name, fresh)
        os.rename(fresh, f"{self._tools_dir}/current")

    def path(self, name: str) -> str:
        """Return the path that always leads to the selected executable of `name`."""
        return f"{self._tools_dir}/current/{name}"

    def _system(self, name: str) -> str:
        import shutil

        found = shutil.which(name, path=_SYSTEM_PATH)
        if not found:
            raise ToolUnavailable(f"the machine has no {name} of its own")
        return found

    def _tool(self, name: str, path: str, source: str) -> Tool:
        import hashlib

        try:
            with open(path, "rb") as file:
                return Tool(name, path, source, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as gone:
            raise ToolUnavailable(str(gone)) from gone

    def _source_of(self, path: str) -> str:
        if not path.startswith(f"{self._tools_dir}/"):
            return SYSTEM
        top = path[len(self._tools_dir) + 1 :].split("/", 1)[0]
        with open(f"{self._tools_dir}/{top}/{_NOTE}", encoding="ascii") as file:
            text = file.read().strip()
        return text if text in SOURCES else PINNED

    def _pinned(self, report: Callable[[str], None]) -> str:
        files = pins.pins("deb", archive.architecture())
        if not files:
            raise ToolUnavailable(f"nothing is pinned for {archive.architecture()}")

        def fill(directory: str, final: str) -> None:
            debs = archive.fetch(files, f"{directory}/fetched", report)
            _fill_from_debs(debs, directory, final, PINNED)

        return tree.make(self._tools_dir, pins.tree_name(files), fill)

    def _built(self, name: str, report: Callable[[str], None]) -> str:
        files = tuple(pin for pin in pins.pins("source", archive.architecture()) if pin.package == name)
        if not files or name not in build.RECIPES:
            raise ToolUnavailable(f"no source of {name} is pinned")

        def fill(directory: str, final: str) -> None:
            work = f"{directory}/fetched"
            (tarball,) = archive.fetch(files, work, report)
            build.build(name, tarball, work, report)
            os.makedirs(os.path.dirname(f"{directory}/{tree.PROGRAMS[name]}"))
            os.rename(f"{work}/out/program", f"{directory}/{tree.PROGRAMS[name]}")
            os.rename(f"{work}/out/lib", f"{directory}/usr/lib")
            _finish(directory, final, BUILT)

        label = f"{name}-{pins.tree_name(files)}-{archive.codename()}"
        return tree.make(self._tools_dir, label, fill)

    def _newest(self, report: Callable[[str], None]) -> str:
        import time

        def fill(directory: str, final: str) -> None:
            debs = archive.fetch_newest(("criu", "libcriu2", "crun"), f"{directory}/fetched", report)
            _fill_from_debs(debs, directory, final, SUITE)

        # One a day: "newest" means something else tomorrow, and a tree is never changed.
        return tree.make(self._tools_dir, time.strftime("suite-%Y%m%d", time.gmtime()), fill)


def _fill_from_debs(debs: list[str], directory: str, final: str, source: str) -> None:
    tree.unpack(debs, directory)
    _finish(directory, final, source)


def _finish(directory: str, final: str, source: str) -> None:
    import shutil

    shutil.rmtree(f"{directory}/fetched")
    with open(f"{directory}/{_NOTE}", "w", encoding="ascii") as file:
        file.write(source + "\n")
    tree.patch(directory, final)
