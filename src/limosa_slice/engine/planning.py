"""From a change to a series, and why an atom is where it is."""

from collections import Counter

from limosa_slice.engine import evidence, order
from limosa_slice.engine.cluster import cluster, log_odds
from limosa_slice.model.change import Change, Role
from limosa_slice.model.series import Slice
from limosa_slice.ports.repository import PastCommit
from limosa_slice.ports.syntax import Syntax


def plan(change: Change, syntax: Syntax, size_lines: int, history: list[PastCommit]) -> list[Slice]:
    """Return the series that the evidence suggests; nothing is built."""
    facts = evidence.read_facts(change, syntax)
    groups = cluster(change, facts, order.welds(change), size_lines)
    groups = order.ordered(change, groups, order.order_edges(change, facts))
    return [Slice(title(change, facts, group, history), tuple(group)) for group in groups]


def title(change: Change, facts: list[evidence.Facts], group: list[int], history: list[PastCommit]) -> str:
    """Return a title that says only what is known: a prefix as the history has it, a verb, names or files."""
    paths = sorted({change.path(change.atoms[a]) for a in group})
    deltas = [change.files[change.atoms[a].file] for a in group]
    roles = {change.atoms[a].role for a in group}
    defined = Counter(w.decode(errors="replace") for a in group for w in facts[a].defines - facts[a].drops)
    dropped = Counter(w.decode(errors="replace") for a in group for w in facts[a].drops - facts[a].defines)
    if roles == {Role.RENAME}:
        verb, what = "move", [d.old_path or "" for d in deltas]
    elif all(d.new is None for d in deltas):
        verb, what = "remove", paths
    elif defined:
        verb, what = "add", list(defined)
    elif dropped:
        verb, what = "remove", list(dropped)
    else:
        verb, what = "change", [f.around for a in group if (f := facts[a]).around] or paths
    names = list(dict.fromkeys(name.rsplit("/", 1)[-1] for name in what))
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    text = f"{prefix(paths, history)}{verb} {shown}"
    return "".join(c if c.isprintable() else "?" for c in text)


def prefix(paths: list[str], history: list[PastCommit]) -> str:
    """Return the subsystem prefix that most commits to these paths have ("fs/ext4: "), or nothing."""
    wanted, found, seen = set(paths), Counter[str](), 0
    for commit in history:
        if wanted & set(commit.paths):
            seen += 1
            head, colon, _ = commit.title.partition(": ")
            found.update([head] if colon and " " not in head and len(head) < 40 else [])
    best = found.most_common(1)
    return f"{best[0][0]}: " if best and best[0][1] * 2 > seen else ""


def explain(change: Change, syntax: Syntax, slices: list[Slice], atom: int) -> str:
    """Return why `atom` is where it is: its edges with their evidence, strongest first."""
    facts = evidence.read_facts(change, syntax)
    spread = evidence.spread_of(facts)
    home = next(n for n, item in enumerate(slices) if atom in item.atoms)
    lines = [f"h{atom} {change.label(change.atoms[atom])} is in slice {home + 1}: {slices[home].title}"]
    for (first, later), why in order.order_edges(change, facts).items():
        if atom == first:
            lines.append(f"  order: before h{later}: {why}")
        elif atom == later:
            lines.append(f"  order: after h{first}, which {why}")
    scored = []
    for other in slices[home].atoms:
        if other != atom:
            features = evidence.pair_features(change, facts, spread, min(atom, other), max(atom, other))
            scored.append((log_odds(features) + evidence.BIAS, other, features))
    for value, other, features in sorted(scored, key=lambda s: -s[0])[:10]:
        reasons = ", ".join(f"{k} {evidence.WEIGHTS.get(k, 0) * v:+.2f}" for k, v in features.items())
        lines.append(f"  attract: h{other} {change.label(change.atoms[other])} {value:+.2f} ({reasons})")
    return "\n".join(lines)
