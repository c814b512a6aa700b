"""Try every prefix of a series; a failing slice takes in the later one that it needs, or else its neighbour."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from limosa_slice.engine.compose import Composer
from limosa_slice.engine.evidence import Facts
from limosa_slice.model.series import Slice
from limosa_slice.ports.workspace import Verdict, Workspace

_MISSING = re.compile(
    r"(?:undeclared|undefined|unknown type name|implicit declaration of function|no member named|cannot import name"
    r"|undefined reference to|not defined|cannot find)[^'\u2018`\"\n]*['\u2018`\"](\w+)|name '(\w+)' is not defined"
    r"|['\u2018](\w+)['\u2019] undeclared"
)
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Commands:
    """The user's build and test commands; either may be absent."""

    build: str | None
    test: str | None


def try_tree(workspace: Workspace, tree: str, commands: Commands) -> tuple[bool | None, bool | None, str]:
    """Return built, tested (None: not tried) and the output of what failed."""
    verdicts: list[Verdict | None] = []
    for command, again in ((commands.build, 0), (commands.test, RETRIES)):
        verdict = workspace.attempt(tree, command, again=again) if command else None
        verdicts.append(verdict)
        if verdict is not None and not verdict.passed:
            break
    built, tested = (v.passed if v else None for v in [*verdicts, None][:2])
    return built, tested, "".join(v.output for v in verdicts if v and not v.passed)


def settle(
    composer: Composer,
    facts: list[Facts],
    slices: list[Slice],
    commands: Commands,
    workspace: Workspace,
    progress: Callable[[str], None],
) -> list[Slice]:
    """Return the series with every prefix tried; the last slice may still fail, when the whole change does.

    It ends: each failure joins two slices.
    """
    done: list[Slice] = []
    todo = list(slices)
    applied: frozenset[int] = frozenset()
    while todo:
        item, *todo = todo
        tree = composer.tree(applied | set(item.atoms))
        built, tested, output = try_tree(workspace, tree, commands)
        progress(f"slice {len(done) + 1}: built {built}, tested {tested}, {len(todo)} to go: {item.title}")
        if (built is False or tested is False) and todo:
            partner = needed(output, facts, todo)
            merged = replace(item, atoms=tuple(sorted((*item.atoms, *todo[partner].atoms))))
            todo = [merged, *todo[:partner], *todo[partner + 1 :]]
            continue
        done.append(replace(item, built=built, tested=tested))
        applied |= set(item.atoms)
    return done


def needed(output: str, facts: list[Facts], later: list[Slice]) -> int:
    """Return which later slice defines a symbol that the diagnostics miss; 0, the neighbour, if none does."""
    missing = {name.encode() for groups in _MISSING.findall(output) for name in groups if name}
    for number, item in enumerate(later):
        if any(facts[atom].defines & missing for atom in item.atoms):
            return number
    return 0
