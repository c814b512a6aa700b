"""A toolchain and probes in memory, for the engine's tests."""

from collections.abc import Callable, Sequence

from limosa.ports.probes import MISSING, WORKS, Outcome, Subject
from limosa.ports.toolchain import Tool, ToolUnavailable


class FakeToolchain:
    """Tools by (name, source); what is not in `offers` is unavailable."""

    def __init__(self, offers: dict[tuple[str, str], str], missing: Sequence[str] = ()) -> None:
        self.offers = offers
        self.missing = list(missing)
        self.obtained: list[tuple[str, str]] = []
        self.selections: list[tuple[Tool, ...]] = []

    def missing_packages(self, group: str) -> list[str]:
        assert group in ("run", "dev")
        return sorted(self.missing)

    def install_packages(self, names: list[str], report: Callable[[str], None]) -> None:
        self.missing = [name for name in self.missing if name not in names]

    def obtain(self, name: str, source: str, report: Callable[[str], None]) -> Tool:
        self.obtained.append((name, source))
        if (name, source) not in self.offers:
            raise ToolUnavailable(f"no {name} from {source}")
        path = self.offers[name, source]
        return Tool(name, path, source, f"digest of {path}")

    def selected(self, name: str) -> Tool | None:
        return next((tool for tool in (self.selections or [()])[-1] if tool.name == name), None)

    def select(self, tools: Sequence[Tool]) -> None:
        self.selections.append(tuple(tools))


class FakeProbes:
    """Outcomes by subject or by path; everything else works."""

    def __init__(self, subjects: Sequence[Subject] = (), outcomes: dict[str, Outcome] | None = None) -> None:
        self._subjects = tuple(subjects)
        self.outcomes = outcomes or {}
        self.edition = "1"
        self.attempts: list[str] = []

    def subjects(self) -> tuple[Subject, ...]:
        return self._subjects

    def fingerprint(self, subject: Subject) -> str:
        return f"{subject.name} {self.edition}"

    def attempt(self, subject: Subject) -> Outcome:
        self.attempts.append(subject.name)
        return self.outcomes.get(subject.name, Outcome(WORKS, "tried"))

    def attempt_tool(self, name: str, path: str) -> Outcome:
        self.attempts.append(path)
        return self.outcomes.get(path, Outcome(WORKS, "tried"))


def broken(detail: str = "it does not work") -> Outcome:
    return Outcome(MISSING, detail)
