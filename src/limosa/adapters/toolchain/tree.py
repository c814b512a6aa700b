"""The private tool tree: packages unpacked beside the system, their programs patched to use only their own libraries.

    TOOLS/<tree name>/usr/sbin/criu, usr/bin/crun, usr/lib/…   complete once it has this name, never changed after
    TOOLS/.making-…                                            being made; removed by the next setup
    TOOLS/selection-<hash>/criu -> …, crun -> …                one choice of executables
    TOOLS/current -> selection-<hash>                          the choice that limosa uses now

A program keeps its interpreter's absolute path, so a tree cannot be moved.  Patching comes last: unpacking again would
overwrite it.
"""

import os
from collections.abc import Callable, Sequence

from limosa.linux import process
from limosa.ports.toolchain import ToolUnavailable

PROGRAMS = {"criu": "usr/sbin/criu", "crun": "usr/bin/crun"}
# What no program opens; it is half of the size.
_DROPPED = ("usr/share", "usr/lib/systemd", "etc", "var")
_MAKING = ".making-"


def unpack(debs: Sequence[str], directory: str) -> None:
    """Unpack the packages into `directory`. Raises: process.CommandFailed: one is damaged."""
    import shutil

    for deb in debs:
        process.run(["dpkg-deb", "--extract", deb, directory])
    for name in _DROPPED:
        shutil.rmtree(f"{directory}/{name}", ignore_errors=True)


def patch(directory: str, final: str) -> None:
    """Make the programs in `directory` use the loader and the libraries that will be below `final`.

    DT_RPATH, not DT_RUNPATH: it holds for the libraries' own libraries and for dlopen(3) too. Source: ld.so(8).
    Raises: ToolUnavailable: the tree has no loader.
    """
    loader = ""
    library_dirs = []
    for here, _, files in os.walk(f"{directory}/usr/lib"):
        below = here[len(directory) :]
        if any(".so" in name for name in files):
            library_dirs.append(final + below)
        for name in files:
            if name.startswith("ld-linux"):
                loader = f"{final}{below}/{name}"
    if not loader:
        raise ToolUnavailable("the tree has no dynamic loader")
    libraries = ":".join(sorted(library_dirs))
    for path in PROGRAMS.values():
        program = f"{directory}/{path}"
        if os.path.isfile(program):
            process.run(["patchelf", "--set-interpreter", loader, "--force-rpath", "--set-rpath", libraries, program])


def make(tools_dir: str, name: str, fill: Callable[[str, str], None]) -> str:
    """Return the tree `name` below `tools_dir`, made by `fill(directory, final)` if it is not there.

    The tree gets its name when it is complete. Raises: what `fill` raises; nothing stays of the attempt.
    """
    import shutil

    final = f"{tools_dir}/{name}"
    if os.path.isdir(final):
        return final
    making = f"{tools_dir}/{_MAKING}{name}-{os.getpid()}"
    os.makedirs(making, mode=0o755)
    try:
        fill(making, final)
        try:
            os.rename(making, final)
        except OSError:
            if not os.path.isdir(final):  # another setup was as fast: its tree is the same
                raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return final


def sweep(tools_dir: str) -> None:
    """Remove what interrupted setups left behind: trees whose maker no longer runs."""
    import shutil

    for name in os.listdir(tools_dir):
        if name.startswith(_MAKING) and not os.path.exists(f"/proc/{name.rpartition('-')[2]}"):
            shutil.rmtree(f"{tools_dir}/{name}", ignore_errors=True)
