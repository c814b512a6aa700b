"""Slice real series without building and compare with what people wrote.

    PYTHONPATH=src bench/slicer/run.py SERIES_FOLDER WORK_FOLDER tuning|reporting

Per repository and method: mean ARI over -U0 hunks and median slices per commit of the person; for `limosa slice` also
the changed lines of a slice and whether the last tree was the input's. Mode-only changes are not hunks.
"""

import statistics
import sys
import time
from collections import Counter, defaultdict
from math import comb

import corpus

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine import planning
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer


def adjusted_rand(one: list[int], two: list[int]) -> float:
    """Return the adjusted Rand index of two labelings. Source: Hubert and Arabie, 1985."""
    both = sum(comb(n, 2) for n in Counter(zip(one, two, strict=True)).values())
    left = sum(comb(n, 2) for n in Counter(one).values())
    right = sum(comb(n, 2) for n in Counter(two).values())
    pairs = comb(len(one), 2)
    expected = left * right / pairs if pairs else 0.0
    most = (left + right) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def measure(
    repository: GitRepository, series: corpus.Series, rows: dict[str, list[tuple[float, float]]], lines: list[int]
) -> bool:
    """Add the figures of one series to `rows`; return whether the trees were the same."""
    syntax = TreeSitterSyntax()
    change = read_change(repository, syntax, repository.tree_of(series.base), repository.tree_of(series.head))
    planner = planning.Planner(change, syntax, repository.history(series.base, 2000))
    slices = planner.plan(150)
    home = {atom: number for number, item in enumerate(slices) for atom in item.atoms}
    lines += [sum(change.lines(change.atoms[a]) for a in item.atoms) for item in slices]
    truth = corpus.Truth(repository.git_dir, series, change)
    owners: dict[object, Counter[int]] = defaultdict(Counter)
    ours: dict[object, Counter[int]] = defaultdict(Counter)
    for atom in change.atoms:
        key = corpus.hunk_key(atom)
        if key[2]:
            owners[key].update(truth.votes(atom))
            ours[key].update({home[atom.id]: max(1, change.lines(atom))})
    keys = [key for key in owners if owners[key]]
    person = [max(owners[key], key=owners[key].__getitem__) for key in keys]
    found = {
        "limosa slice": [max(ours[key], key=ours[key].__getitem__) for key in keys],
        "one per file": [key[0] for key in keys],
        "one per hunk": list(range(len(keys))),
        "one for all": [0] * len(keys),
    }
    for name, labels in found.items():
        count = len(slices) if name == "limosa slice" else len(set(labels))
        rows[name].append((adjusted_rand(person, labels), count / len(series.commits)))
    composer = Composer(repository, change)
    applied: frozenset[int] = frozenset()
    for item in slices:
        applied |= set(item.atoms)
        last = composer.tree(applied)
    return last == change.head_tree


def main() -> None:
    source, work, half = sys.argv[1:4]
    for name in ("crun", "ploop", "dulwich"):
        chosen = corpus.halves(corpus.load(source, name))[half == "reporting"]
        repository = GitRepository(corpus.bare_clone(source, name, work))
        rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
        lines: list[int] = []
        start = time.monotonic()
        same = sum(measure(repository, series, rows, lines) for series in chosen)
        tenths = statistics.quantiles(lines, n=10)
        print(
            f"{name} {half}: {len(chosen)} series, {same} with the input's tree, {time.monotonic() - start:.0f} s in all;",  # noqa: E501
            end=" ",
        )
        print(f"lines per slice: median {statistics.median(lines):.0f}, 90th percentile {tenths[8]:.0f}", flush=True)
        for method, figures in rows.items():
            ari, ratio = statistics.mean(a for a, _ in figures), statistics.median(r for _, r in figures)
            print(f"  {method:14} ARI {ari:.3f}  slices/commits {ratio:.2f}")


if __name__ == "__main__":
    main()
