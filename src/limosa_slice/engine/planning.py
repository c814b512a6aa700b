"""From a change to a series, and why an atom is where it is."""

from collections.abc import Sequence

from limosa_slice.engine import edges as rules
from limosa_slice.engine import order
from limosa_slice.engine.affinity import score
from limosa_slice.engine.cluster import cluster
from limosa_slice.engine.evidence import NAMES, Evidence, read_past
from limosa_slice.engine.facts import read_facts
from limosa_slice.engine.repair import Graph
from limosa_slice.engine.wording import Wording
from limosa_slice.model.change import Change
from limosa_slice.model.series import Plan, Slice
from limosa_slice.ports.repository import PastCommit
from limosa_slice.ports.syntax import Syntax

REASONS = 8  # attractions that an explanation names
APART = 0.2  # what draws an atom to others less than this needs no mention


class Planner:
    """Everything that is known about one change before anything is built."""

    def __init__(self, change: Change, syntax: Syntax, history: Sequence[PastCommit]) -> None:
        self.change = change
        facts, usage = read_facts(change, syntax)
        self.evidence = Evidence(change, facts, usage, read_past(change, history))
        self.graph = Graph(change, facts, rules.order_edges(change, facts), rules.welds(change, facts))
        self.wording = Wording(change, facts, history)

    def plan(self, size_lines: int) -> list[Slice]:
        """Return the series that the evidence suggests; nothing is built."""
        groups = cluster(self.evidence, self.graph.welds, size_lines)
        ranks = order.Ranks(self.change, self.graph.facts, self.graph.edges)
        groups = order.ordered(ranks, groups, self.graph.edges, self.graph.welds)
        return [Slice(self.wording.title(group), tuple(group)) for group in groups]

    def believe(self, plan: Plan) -> None:
        """Take in what an earlier trial of this change has taught."""
        for fact in plan.learned:
            self.graph.learned.append(fact)
            if fact.kind == "before":
                self.graph.edges[(fact.one, fact.two)] = fact.why

    def explain(self, slices: Sequence[Slice], atom: int) -> str:
        """Return why `atom` is where it is: what it is tied to, with the evidence, strongest first."""
        home = next(n for n, item in enumerate(slices) if atom in item.atoms)
        lines = [f"h{atom} {self.change.label(self.change.atoms[atom])} is in slice {home + 1}: {slices[home].title}"]
        weld = next(group for group in self.graph.welds if atom in group)
        if len(weld) > 1:
            lines.append(f"  weld: nothing may separate it from {', '.join(f'h{a}' for a in weld if a != atom)}")
        lines += [
            f"  learned: h{x.one} {x.kind} h{x.two}: {x.why}" for x in self.graph.learned if atom in (x.one, x.two)
        ]
        for (first, later), why in self.graph.edges.items():
            if atom == first:
                lines.append(f"  order: before h{later}: {why}")
            elif atom == later:
                lines.append(f"  order: after h{first}, which {why}")
        inside = set(slices[home].atoms) - {atom}
        lines += self._attractions(atom, inside, "attract")
        lines += self._attractions(atom, set(range(len(self.change.atoms))) - inside - {atom}, "apart from")[:3]
        return "\n".join(lines)

    def _attractions(self, atom: int, others: set[int], word: str) -> list[str]:
        scored = []
        for other in others:
            values = self.evidence.features(min(atom, other), max(atom, other))
            scored.append((score(values), other, values))
        lines = []
        for value, other, values in sorted(scored, key=lambda s: -s[0])[:REASONS]:
            if word == "apart from" and value < APART:
                break
            known = [f"{NAMES[n]} {values[n]:.2g}" for n in EVIDENT if values[n] > 0]
            lines.append(f"  {word}: h{other} {self.change.label(self.change.atoms[other])} {value:.2f} ({', '.join(known)})")  # fmt: skip  # noqa: E501
        return lines


# What a reader can check; the rest of the features is context.
EVIDENT = [NAMES.index(name) for name in (
    "same hunk", "same function", "same file", "same stem", "definition and use", "last use and drop", "equal edit",
    "shared new names", "shared vanished names", "moved lines", "names the other's function", "rarest in the files",
    "likeness of words", "change together",
)]  # fmt: skip


def needs_of(plan_edges: rules.Edges, slices: Sequence[Slice], number: int) -> list[str]:
    """Return a line for each earlier slice that slice `number` needs, with the strongest reason."""
    place = {atom: n for n, item in enumerate(slices) for atom in item.atoms}
    found: dict[int, str] = {}
    for (first, later), why in plan_edges.items():
        if place.get(later) == number and place.get(first, number) < number:
            found.setdefault(place[first], why)
    return [f'Needs "{slices[n].title}", which {why}.' for n, why in sorted(found.items())]
