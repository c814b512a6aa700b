"""A planned series, and its text: an editable file in the manner of `git rebase -i`."""

import re
from dataclasses import dataclass, replace

from limosa_slice.model.errors import SliceError


@dataclass(frozen=True, slots=True)
class Slice:
    """One commit to be: its title and its atoms. `built` and `tested` are None while nobody has tried."""

    title: str
    atoms: tuple[int, ...]
    built: bool | None = None
    tested: bool | None = None


def render_plan(base: str, head: str, slices: list[Slice], labels: list[str]) -> str:
    """Return the plan as text; `labels` says for each atom what it is."""
    lines = [
        "# Order, titles and the slice of each hunk may be edited; every hunk must stay, once.",
        f"base {base}",
        f"head {head}",
    ]
    for item in slices:
        lines += ["", f"slice {item.title}"]
        lines += [f"  h{atom} {_printable(labels[atom])}" for atom in item.atoms]
    return "\n".join(lines) + "\n"


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode().replace("\n", "\\n")


def parse_plan(text: str) -> tuple[str, str, list[Slice]]:
    """Return base, head and the slices of a plan; an empty slice is dropped.

    Raises: SliceError LIM-SLICE-030: a line is not understood.
    """
    ends: dict[str, str] = {}
    slices: list[Slice] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.strip().partition(" ")
        if word in ("base", "head"):
            ends[word] = rest
        elif word == "slice" and rest:
            slices.append(Slice(rest, ()))
        elif (match := re.fullmatch(r"h(\d+)", word)) and slices:
            slices[-1] = replace(slices[-1], atoms=(*slices[-1].atoms, int(match[1])))
        else:
            raise SliceError("LIM-SLICE-030", f"line {number} of the plan is not understood: {line.strip()}")
    if set(ends) != {"base", "head"}:
        raise SliceError("LIM-SLICE-030", "the plan does not name its base and head")
    return ends["base"], ends["head"], [item for item in slices if item.atoms]


def check_complete(slices: list[Slice], count: int) -> None:
    """Check that every atom is in exactly one slice. Raises: SliceError LIM-SLICE-031: naming those that are not."""
    seen = [atom for item in slices for atom in item.atoms]
    wrong = sorted((set(range(count)) ^ set(seen)) | {atom for atom in seen if seen.count(atom) > 1})
    if wrong:
        names = ", ".join(f"h{atom}" for atom in wrong[:10])
        raise SliceError("LIM-SLICE-031", f"the plan must have each hunk once; look at {names}")
