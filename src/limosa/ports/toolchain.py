"""How criu, crun and Debian's packages reach a machine (docs/adr/0001)."""

from collections.abc import Callable, Sequence

from limosa.model.hints import Final, Protocol
from limosa.model.value import NamedTuple

# Where a tool can come from, in the order in which they are tried. The first that passes its functional probe is taken.
SYSTEM: Final = "system"  # the machine's own package
PINNED: Final = "pinned"  # the pinned packages of newer suites, in a private tree
SUITE: Final = "suite"  # the newest packages of those suites, when a pinned one is no longer there
BUILT: Final = "built"  # built from the pinned source, when no package works
SOURCES: Final = (SYSTEM, PINNED, BUILT, SUITE)


class Tool(NamedTuple):
    """One executable that limosa uses. `digest` names its content (SHA-256), `source` is one of SOURCES."""

    name: str
    path: str
    source: str
    digest: str


class ToolUnavailable(Exception):
    """A tool cannot be had from one source; the message says why, in a form that fits after "because"."""


class Toolchain(Protocol):
    """The programs of this machine that limosa starts. Every method may be repeated; the result is the same."""

    def missing_packages(self, group: str) -> list[str]:
        """Return the packages of `group` ("run" or "dev") that are not installed, sorted."""

    def install_packages(self, names: list[str], report: Callable[[str], None]) -> None:
        """Install Debian packages from the machine's own suite; `report` gets one line at a time.

        Raises: LimosaError LIM-TOOL-001: apt could not (its own words); packages installed before stay.
        """

    def obtain(self, name: str, source: str, report: Callable[[str], None]) -> Tool:
        """Return `name` ("criu" or "crun") from `source`, fetched, verified and unpacked if it is not there yet.

        Raises: ToolUnavailable: it cannot be had from there. Nothing half-made is left.
        """

    def selected(self, name: str) -> Tool | None:
        """Return the tool that limosa uses now, or None if none was selected or its file is gone."""

    def select(self, tools: Sequence[Tool]) -> None:
        """Make `tools` the ones that limosa uses from now on, all in one step; earlier choices are forgotten."""
