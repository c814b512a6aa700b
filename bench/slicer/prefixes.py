"""Does every prefix of a series hold? By parsing what changed, and by building where the project builds."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.adapters.worktrees import WorktreeWorkspace
from limosa_slice.engine.compose import file_state
from limosa_slice.engine.oracle import Commands, Trial
from limosa_slice.engine.repair import Settler
from limosa_slice.model.change import Change

if TYPE_CHECKING:
    from run import Measured

# Python: every module compiles and imports, but for what others lack. C: every file compiles; CPPFLAGS name
# the folders of headers: .../usr/include of unpacked packages, and what oci_headers.py has written.
COMMANDS = {
    "dulwich": "python3 -m compileall -q dulwich && python3 -c '"
    "import importlib, pkgutil, dulwich\n"
    "for m in pkgutil.iter_modules(dulwich.__path__):\n"
    '    try: importlib.import_module("dulwich." + m.name)\n'
    "    except ModuleNotFoundError as e:\n"
    '        if e.name.startswith("dulwich"): raise\'',
    # What older distributions gave: a product name, json-c in its old folder; and names that glibc has taken since.
    "ploop": r"mkdir -p .shim && ln -sfn /usr/include/json-c .shim/json && printf '#include <unistd.h>\n#ifndef OWN\n"
    r"#include <sys/mount.h>\n#endif\n#include <sys/sysmacros.h>\n#define open_tree own_open_tree\n"
    r"#define move_mount own_move_mount\n#define copy_file_range own_copy_file_range\n"
    r"""#define PRODUCT_NAME_SHORT "ploop"\n' >.shim/first.h; """
    "for f in lib/*.c tools/*.c; do gcc -std=gnu99 -fsyntax-only -w -Werror=implicit-function-declaration"
    " -include .shim/first.h -I.shim $(case $f in *fsutils.c) echo -DOWN;; esac) -Iinclude -Ilib -D_GNU_SOURCE"
    " $CPPFLAGS $(pkg-config --cflags libxml-2.0) $f || exit 1; done",
    # What its configure would find on Debian 12; the types of a container's configuration are made by oci_headers.py.
    "crun": r"mkdir -p .shim && printf '#define %s 1\n' HAVE_DLOPEN HAVE_SECCOMP HAVE_CAP HAVE_SYSTEMD HAVE_YAJL"
    " HAVE_EBPF SECCOMP_ARCH_RESOLVE_NAME HAVE_STDATOMIC_H HAVE_ATOMIC_INT HAVE_ATOMIC_BOOL HAVE_STATX"
    " HAVE_COPY_FILE_RANGE HAVE_FGETXATTR HAVE_LINUX_OPENAT2_H HAVE_LINUX_IOPRIO_H HAVE_ERROR_H"
    " HAVE_FSCONFIG_CMD_CREATE_SYS_MOUNT_H HAVE_FSCONFIG_CMD_CREATE_LINUX_MOUNT_H HAVE_SECCOMP_GET_NOTIF_SIZES"
    " HAVE_HSEARCH_R >.shim/config.h && "
    r"""printf '#define %s "crun"\n' PACKAGE_NAME PACKAGE_VERSION PACKAGE_STRING PACKAGE_BUGREPORT CRUN_LIBDIR"""
    r""" >>.shim/config.h && echo '#define LIBCRUN_PUBLIC' >>.shim/config.h && echo '#define GIT_VERSION "crun"' """
    ">.shim/git-version.h; for f in src/*.c src/libcrun/*.c src/libcrun/handlers/*.c; do [ ! -e $f ] || "
    "gcc -std=gnu11 -Ulinux -fsyntax-only -w -Werror=implicit-function-declaration -DHAVE_CONFIG_H -D_GNU_SOURCE"
    " -I.shim -Isrc $CPPFLAGS $f || exit 1; done",
}
_SYNTAX = TreeSitterSyntax()


def parsing(change: Change, groups: Sequence[Sequence[int]]) -> tuple[int, int]:
    """Return how many prefixes of the series have no more parse errors in any file than both ends have, and how many
    there are."""
    allowed: dict[int, int] = {}
    applied: set[int] = set()
    wrong: dict[int, bool] = {}
    good = 0
    for group in groups:
        applied |= set(group)
        for file in {change.atoms[a].file for a in group}:
            path, text = change.files[file].path, change.texts[file]
            if file not in allowed:
                ends = [_SYNTAX.errors(path, b"".join(side)) or 0 for side in (text.old, text.new)]
                allowed[file] = max(ends)
            state = file_state(change, file, applied)
            if state is not None and state.content is not None:
                wrong[file] = (_SYNTAX.errors(path, state.content) or 0) > allowed[file]
            else:
                wrong[file] = False
        good += not any(wrong.values())
    return good, len(groups)


@dataclass
class Built:
    """What building the prefixes of some series showed."""

    series: int = 0
    left_out: int = 0
    planned: list[int] = field(default_factory=list)
    passing_as_planned: int = 0
    slices: int = 0
    passing: int = 0
    runs: int = 0
    person: int = 0
    person_passing: int = 0
    seconds: float = 0.0

    def take(self, other: Built) -> None:
        """Add what another one has counted."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    def row(self) -> dict[str, Any] | None:
        """Return the figures of the report."""
        if not self.series and not self.left_out:
            return None
        return {
            "series": self.series, "ends_do_not_build": self.left_out, "slices_planned": sum(self.planned),
            "passing_as_planned": self.passing_as_planned, "slices_after_trial": self.slices, "passing": self.passing,
            "builds_per_slice": round(self.runs / max(1, self.slices), 2),
            "person_commits": self.person, "person_passing": self.person_passing, "seconds": round(self.seconds),
        }  # fmt: skip


def build(measured: Measured, command: str, jobs: int, built: Built) -> None:
    """Try the series as planned, settle it, and try the person's own, all by the same command."""
    repository, started = measured.repository, time.monotonic()
    workspace = WorktreeWorkspace(repository, measured.series.base, 300, jobs)
    try:
        trial = Trial(measured.composer, workspace, Commands(command, None))
        whole = frozenset(range(len(measured.change.atoms)))
        if not (trial.of(frozenset()).passed and trial.of(whole).passed):
            built.left_out += 1
            return
        settler = Settler(measured.planner.graph, trial, None, lambda _: None, time.monotonic, float("inf"))
        done = settler.settle(measured.slices)
        built.runs += trial.runs
        built.series += 1
        built.planned.append(len(measured.slices))
        built.slices += len(done)
        built.passing += sum(bool(item.built) for item in done)
        applied: frozenset[int] = frozenset()
        for item in measured.slices:
            applied |= set(item.atoms)
            built.passing_as_planned += trial.of(applied).passed
        for commit in measured.series.commits:
            built.person += 1
            built.person_passing += trial.of_tree(repository.tree_of(commit)).passed
    finally:
        workspace.close()
        built.seconds += time.monotonic() - started
