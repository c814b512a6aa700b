"""A planned series, and its text: an editable file in the manner of `git rebase -i`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from limosa_slice.model.errors import SliceError


@dataclass(frozen=True, slots=True)
class Slice:
    """One commit to be: its title and its atoms. `built` and `tested` are None while nobody has tried."""

    title: str
    atoms: tuple[int, ...]
    built: bool | None = None
    tested: bool | None = None


@dataclass(frozen=True, slots=True)
class Learned:
    """What a build or test has taught: atom `one` goes "before" atom `two`, or "with" it."""

    kind: str
    one: int
    two: int
    why: str


@dataclass(frozen=True, slots=True)
class Plan:
    """A series of the change from `base` to `head`, and what its trial has taught so far."""

    base: str
    head: str
    slices: tuple[Slice, ...]
    learned: tuple[Learned, ...] = ()


def render_plan(plan: Plan, labels: list[str]) -> str:
    """Return the plan as text; `labels` says for each atom what it is."""
    lines = [
        "# Order, titles and the slice of each hunk may be edited; every hunk must stay, once.",
        "# A slice whose hunks are all moved away disappears. `limosa slice apply FILE` carries this out.",
        f"base {plan.base}",
        f"head {plan.head}",
    ]
    lines += [f"learned h{x.one} {x.kind} h{x.two}: {_printable(x.why)}" for x in plan.learned]
    for item in plan.slices:
        lines += ["", f"slice {item.title}"]
        lines += [f"  h{atom} {_printable(labels[atom])}" for atom in item.atoms]
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


_LEARNED = re.compile(r"h(\d+) (before|with) h(\d+): (.*)")


def parse_plan(text: str) -> Plan:
    """Return the plan that `text` says; an empty slice is dropped.

    Raises: SliceError LIM-SLICE-030: a line is not understood.
    """
    ends: dict[str, str] = {}
    slices: list[Slice] = []
    learned: list[Learned] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word in ("base", "head"):
            ends[word] = rest
        elif word == "slice" and rest:
            slices.append(Slice(rest, ()))
        elif word == "learned" and (fact := _LEARNED.fullmatch(rest)):
            learned.append(Learned(fact[2], int(fact[1]), int(fact[3]), fact[4]))
        elif (match := re.fullmatch(r"h(\d+)", word)) and slices:
            slices[-1] = replace(slices[-1], atoms=(*slices[-1].atoms, int(match[1])))
        else:
            raise SliceError("LIM-SLICE-030", f"line {number} of the plan is not understood: {line.strip()}")
    if set(ends) != {"base", "head"}:
        raise SliceError("LIM-SLICE-030", "the plan does not name its base and head")
    return Plan(ends["base"], ends["head"], tuple(item for item in slices if item.atoms), tuple(learned))


def check_complete(slices: Sequence[Slice], count: int) -> None:
    """Check that every atom is in exactly one slice. Raises: SliceError LIM-SLICE-031: naming those that are not."""
    seen = Counter(atom for item in slices for atom in item.atoms)
    wrong = sorted((set(range(count)) ^ set(seen)) | {atom for atom, times in seen.items() if times > 1})
    if wrong:
        names = ", ".join(f"h{atom}" for atom in wrong[:10])
        raise SliceError("LIM-SLICE-031", f"the plan must have each hunk once; look at {names}")
