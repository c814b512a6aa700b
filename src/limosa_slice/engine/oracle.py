"""Try trees by the user's commands, and read from the diagnostics which symbols they miss."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from limosa_slice.engine.compose import Composer
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.workspace import Verdict, Workspace

_QUOTE = "['\u2018\u2019`\"]"
_MISSING = [
    re.compile(pattern)
    for pattern in (
        rf"{_QUOTE}(?:struct |union |enum )?(\w+){_QUOTE} (?:undeclared|undefined|was not declared|has not been)",
        r"implicit declaration of function " + rf"{_QUOTE}(\w+)",
        rf"unknown type name {_QUOTE}(\w+)",
        rf"has no member named {_QUOTE}(\w+)",
        rf"incomplete type {_QUOTE}(?:struct |union |enum )?(\w+)",
        rf"undefined reference to {_QUOTE}(\w+)",
        rf"undefined symbol:? {_QUOTE}?(\w+)",
        rf"cannot import name {_QUOTE}(\w+)",
        rf"name {_QUOTE}(\w+){_QUOTE} is not defined",
        rf"has no attribute {_QUOTE}(\w+)",
        rf"unexpected keyword argument {_QUOTE}(\w+)",
        rf"No module named {_QUOTE}(?:[\w.]*\.)?(\w+)",
        r"undefined: (?:\w+\.)?(\w+)",
        rf"cannot find (?:\w+ )*{_QUOTE}(\w+)",
        r"cannot find symbol[\s\S]*?symbol:\s+\w+ (\w+)",
        rf"Cannot find name {_QUOTE}(\w+)",
        r"ReferenceError: (\w+) is not defined",
    )
]
_NO_FILE = [
    re.compile(pattern)
    for pattern in (
        r"fatal error: ([\w./+-]+): No such file",
        rf"No rule to make target {_QUOTE}([\w./+-]+)",
        rf"No such file or directory: {_QUOTE}([\w./+-]+)",
        r"([\w./+-]+\.\w+): No such file or directory",
    )
]
RETRIES = 2


@dataclass(frozen=True, slots=True)
class Commands:
    """The user's build and test commands; either may be absent."""

    build: str | None
    test: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the commands say of a tree: None is a command that was not run. `output` is what the failing one said."""

    built: bool | None
    tested: bool | None
    output: str = ""
    flaky: bool = False

    @property
    def passed(self) -> bool:
        """Whether nothing failed."""
        return self.built is not False and self.tested is not False


def missing_symbols(output: str) -> set[bytes]:
    """Return the names that the diagnostics say are not defined."""
    return {name.encode() for pattern in _MISSING for name in pattern.findall(output)}


def missing_files(output: str) -> set[str]:
    """Return the paths, or ends of paths, that the diagnostics say are not there."""
    return {name.removeprefix("./") for pattern in _NO_FILE for name in pattern.findall(output)}


class Trial:
    """Tries sets of atoms; counts what was really run."""

    def __init__(self, composer: Composer, workspace: Workspace, commands: Commands) -> None:
        self._composer, self._workspace, self._commands = composer, workspace, commands
        self.places = workspace.places
        self.runs = 0
        self.seconds = 0.0

    def of_tree(self, tree: str) -> Outcome:
        """Return what the commands say of a tree; a failing test is run again, a build is not."""
        return self._of_trees([tree])[0]

    def of(self, applied: Collection[int]) -> Outcome:
        """Return what the commands say of the tree with exactly `applied`; a tree that cannot be is a failure."""
        try:
            return self.of_tree(self._composer.tree(applied))
        except SliceError as error:
            if error.code != "LIM-SLICE-020":
                raise
            return Outcome(False, None, error.summary)

    def ahead(self, prefixes: list[frozenset[int]]) -> None:
        """Try several sets at once, so that `of` has the answers at hand. Of use only with more than one place."""
        if self.places > 1 and len(prefixes) > 1:
            self._of_trees([self._composer.tree(applied) for applied in prefixes])

    def _of_trees(self, trees: list[str]) -> list[Outcome]:
        built = self._run(trees, self._commands.build, 0)
        go_on = [n for n, verdict in enumerate(built) if verdict is None or verdict.passed]
        tested = dict(zip(go_on, self._run([trees[n] for n in go_on], self._commands.test, RETRIES), strict=True))
        outcomes = []
        for number, first in enumerate(built):
            second = tested.get(number)
            bad = next((v for v in (first, second) if v is not None and not v.passed), None)
            flaky = any(v.flaky for v in (first, second) if v is not None)
            outcomes.append(Outcome(_passed(first), _passed(second), bad.output if bad else "", flaky))
        return outcomes

    def _run(self, trees: list[str], command: str | None, again: int) -> list[Verdict | None]:
        if not command:
            return [None] * len(trees)
        if len(trees) == 1:
            verdicts = [self._workspace.attempt(trees[0], command, again=again)]
        else:
            verdicts = self._workspace.attempt_all(trees, command, again=again)
        self.runs += sum(not verdict.cached for verdict in verdicts)
        self.seconds += sum(verdict.seconds for verdict in verdicts if not verdict.cached)
        return list(verdicts)


def _passed(verdict: Verdict | None) -> bool | None:
    return None if verdict is None else verdict.passed
