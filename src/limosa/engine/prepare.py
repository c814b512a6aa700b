"""Bring a machine to the point where limosa can do its work (docs/adr/0001)."""

from collections.abc import Callable, Iterable

from limosa.model.errors import LimosaError
from limosa.ports.probes import MISSING, Probes
from limosa.ports.toolchain import SOURCES, Tool, Toolchain, ToolUnavailable

TOOLS = ("criu", "crun")


def install_packages(toolchain: Toolchain, group: str, report: Callable[[str], None]) -> None:
    """Install what is missing of a group of packages. Raises: LimosaError LIM-TOOL-001."""
    missing = toolchain.missing_packages(group)
    if missing:
        report(f"installing {' '.join(missing)}")
        toolchain.install_packages(missing, report)


def select_tools(
    toolchain: Toolchain, probes: Probes, report: Callable[[str], None], *, refresh: bool = False
) -> tuple[Tool, ...]:
    """Select for each tool the first source whose executable passes its trial, and return the selection.

    What is selected already and still passes stays, unless `refresh`. crun is looked for first where criu came from:
    the pair that the tests ran with is the pair in use.
    Raises: LimosaError LIM-TOOL-002: none passes; what was selected before stays selected.
    """
    before = {name: toolchain.selected(name) for name in TOOLS}
    chosen: list[Tool] = []
    for name in TOOLS:
        known = before[name]
        if known is None or refresh or probes.attempt_tool(name, known.path).status == MISSING:
            near = tuple(tool.source for tool in chosen)
            known = _first_that_passes(name, dict.fromkeys((*near, *SOURCES)), toolchain, probes, report)
        chosen.append(known)
    selection = tuple(chosen)
    if selection != tuple(before.values()):
        toolchain.select(selection)
    return selection


def _first_that_passes(
    name: str, sources: Iterable[str], toolchain: Toolchain, probes: Probes, report: Callable[[str], None]
) -> Tool:
    reasons = []
    for source in sources:
        try:
            tool = toolchain.obtain(name, source, report)
        except ToolUnavailable as unavailable:
            reasons.append(f"{source}: {unavailable}")
        else:
            outcome = probes.attempt_tool(name, tool.path)
            if outcome.status != MISSING:
                report(f"{name} {outcome.version} ({source}): {outcome.detail}")
                return tool
            reasons.append(f"{source}: {name} {outcome.version}: {outcome.detail}")
        report(f"not taken: {name} {reasons[-1]}")
    raise LimosaError(
        "LIM-TOOL-002",
        f"no {name} works on this machine",
        state="the tools that were selected before stay selected",
        cause="; ".join(reasons),
        hint="limosa doctor --refresh shows what the kernel lacks",
    )
