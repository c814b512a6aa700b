"""Slice real series and compare with what people wrote.

    PYTHONPATH=src bench/slicer/run.py SERIES_FOLDER WORK_FOLDER tuning|reporting [--json FILE] [--limit N] [--names A,B]
                                       [--jobs N] [--mail] [--build N] [--build-command NAME=CMD ...]

Beside `limosa slice`: one slice per file, one per hunk, one for all, plain affinity clustering, and the person's own series.
Two more rows say where an order goes wrong: the person's groups in our order, and our groups in the person's.
Nothing is built unless --build names how many series of each repository to build. With --mail each series is also written
as mails and read back. Needs tree-sitter (`uv sync --group slice`). --jobs series are measured at once. Mode-only changes
are not hunks. What was found of a series is kept in WORK_FOLDER/figures under the digest of the code and of what was asked
for, so an interrupted run goes on where it was. bench/slicer/table.py makes the tables of the JSON.
"""  # noqa: E501

import argparse
import glob
import hashlib
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import baselines
import corpus
import metrics
import needs
import prefixes
import tree_sitter  # noqa: F401  without it definitions are read from plain text, and nothing fails to parse

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine import order, writing
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer
from limosa_slice.engine.planning import Planner
from limosa_slice.model.change import Change

OURS = "limosa slice"
THEIR_GROUPS, THEIR_ORDER = "person's groups, our order", "our groups, person's order"
CODE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
HISTORY = 2000
SIZE_LINES = 150
MOST_FOR_BASELINE = 500


@dataclass
class Tally:
    """What one method scored on the series of one repository."""

    ari: list[float] = field(default_factory=list)
    f1: list[float] = field(default_factory=list)
    nmi: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    order: Counter[str] = field(default_factory=Counter)
    ordered: int = 0  # series that have a pair
    prefixes: int = 0
    parsing: int = 0

    def take(self, other: "Tally") -> None:
        """Add what another one has counted."""
        for name in ("ari", "f1", "nmi", "ratio", "lines"):
            getattr(self, name).extend(getattr(other, name))
        self.order.update(other.order)
        self.ordered += other.ordered
        self.prefixes += other.prefixes
        self.parsing += other.parsing

    def row(self) -> dict[str, Any]:
        """Return the figures of the report."""
        tenths = statistics.quantiles(self.lines, n=10) if len(self.lines) > 1 else [0.0] * 9
        return {
            "series": len(self.ari),
            "ari": round(statistics.mean(self.ari), 3),
            "ari_95": [round(end, 3) for end in metrics.interval(self.ari)],
            "pairwise_f1": round(statistics.mean(self.f1), 3),
            "nmi": round(statistics.mean(self.nmi), 3),
            "slices_per_commit_median": round(statistics.median(self.ratio), 2),
            "slices_per_commit_mean": round(statistics.mean(self.ratio), 2),
            "lines_median": round(statistics.median(self.lines)) if self.lines else 0,
            "lines_90th": round(tenths[8]),
            "order_tau_b": round(metrics.tau_b(self.order), 2) if self.order else None,
            "order_pairs": dict(self.order),
            "order_series": self.ordered,
            "prefixes_parsing": round(self.parsing / self.prefixes, 4) if self.prefixes else None,
        }


class Measured:
    """One series, sliced: the labels of its hunks by every method."""

    def __init__(self, repository: GitRepository, series: corpus.Series) -> None:
        syntax = TreeSitterSyntax()
        started = time.monotonic()
        self.repository, self.series = repository, series
        self.change = read_change(repository, syntax, repository.tree_of(series.base), repository.tree_of(series.head))
        self.planner = Planner(self.change, syntax, repository.history(series.base, HISTORY))
        self.slices = self.planner.plan(SIZE_LINES)
        self.seconds = time.monotonic() - started
        truth = corpus.Truth(repository.git_dir, series, self.change)
        self._votes = [truth.votes(atom) for atom in self.change.atoms]
        self.needs = needs.needs(repository, syntax, series, self.change, truth)
        self.composer = Composer(repository, self.change)
        groups: dict[object, list[int]] = defaultdict(list)
        for atom in self.change.atoms:
            if (key := corpus.hunk_key(atom))[2]:
                groups[key].append(atom.id)
        self.hunks = [group for group in groups.values() if any(self._votes[a] for a in group)]
        self.person = [max(v, key=v.__getitem__) for v in (self._sum(group) for group in self.hunks)]

    def _sum(self, group: list[int]) -> Counter[int]:
        total: Counter[int] = Counter()
        for atom in group:
            total.update(self._votes[atom])
        return total

    def by_hunk(self, label_of_atom: dict[int, int] | list[int]) -> list[int]:
        """Return the label of each hunk: the one that has most of its lines."""
        labels = []
        for group in self.hunks:
            votes: Counter[int] = Counter()
            for atom in group:
                votes[label_of_atom[atom]] += max(1, self.change.lines(self.change.atoms[atom]))
            labels.append(max(votes, key=votes.__getitem__))
        return labels

    def atoms_of(self, labels: list[int]) -> dict[int, list[int]]:
        """Return the atoms of each label, as far as hunks have one."""
        found: dict[int, list[int]] = defaultdict(list)
        for group, label in zip(self.hunks, labels, strict=True):
            found[label] += group
        return found

    def labels_of_atoms(self) -> dict[str, dict[int, int]]:
        """Return each method's labels of the atoms; they are in the order of the series that the method makes."""
        home = {atom: number for number, item in enumerate(self.slices) for atom in item.atoms}
        file_of = {atom.id: atom.file for atom in self.change.atoms}
        found = {
            OURS: home,
            "one per file": file_of,
            "one for all": dict.fromkeys(file_of, 0),
            "person": dict(enumerate(self._writers())),
            THEIR_GROUPS: self._person_in_our_order(),
            THEIR_ORDER: self._ours_in_the_persons_order(),
        }
        if len(self.change.atoms) <= MOST_FOR_BASELINE:
            found["affinity"] = dict(enumerate(baselines.affinity(self.change, self.planner.graph.facts)))
        return found

    def _writers(self) -> list[int]:
        """Return the person's commit of each atom; that of the atom before it where git blame knows none."""
        found: list[int] = []
        for votes in self._votes:
            found.append(max(votes, key=votes.__getitem__) if votes else found[-1] if found else 0)
        return found

    def _person_in_our_order(self) -> dict[int, int]:
        """Return what our order would make of the person's commits as groups."""
        groups: dict[int, list[int]] = defaultdict(list)
        for atom, commit in enumerate(self._writers()):
            groups[commit].append(atom)
        graph = self.planner.graph
        ranks = order.Ranks(self.change, graph.facts, graph.edges)
        alone = [[atom.id] for atom in self.change.atoms]  # a person separates what we weld
        made = order.ordered(ranks, [groups[commit] for commit in sorted(groups)], graph.edges, alone)
        return {atom: number for number, group in enumerate(made) for atom in group}

    def _ours_in_the_persons_order(self) -> dict[int, int]:
        """Return our slices in the order in which the person's commits have their atoms on average."""
        writers = self._writers()
        means = [statistics.fmean(writers[atom] for atom in item.atoms) for item in self.slices]
        ranked = sorted(range(len(means)), key=means.__getitem__)
        return {atom: place for place, number in enumerate(ranked) for atom in self.slices[number].atoms}

    def methods(self) -> dict[str, list[int]]:
        """Return each method's labels of the hunks."""
        found = {name: self.by_hunk(labels) for name, labels in self.labels_of_atoms().items()}
        return found | {"one per hunk": list(range(len(self.hunks))), "person": list(self.person)}

    def order(self, labels: dict[int, int]) -> Counter[str]:
        """Return how many pairs that do not commute a series has in the person's order, reversed, or together."""
        counts: Counter[str] = Counter()
        for need in self.needs:
            truth, found = (need.first_commit, need.later_commit), (labels[need.first], labels[need.later])
            counts.update(metrics.tau_counts([(0, 1)], truth, found))
        return counts

    def tree_is_same(self) -> bool:
        """Carry the series out and say whether its last tree is the input's."""
        applied: frozenset[int] = frozenset()
        last = self.change.base_tree
        for item in self.slices:
            applied |= set(item.atoms)
            last = self.composer.tree(applied)
        return last == self.change.head_tree

    def mails_are_same(self) -> bool:
        """Write the series as mails and say whether git am makes the input's tree of them."""
        messages = [f"{item.title}\n" for item in self.slices]
        base = self.series.base
        written = writing.write(self.repository, self.composer, base, self.slices, messages, None)
        with tempfile.TemporaryDirectory() as folder:
            mails = self.repository.format_patch(base, written.commits[-1], folder)
            return self.repository.apply_mail(base, mails) == self.change.head_tree


def lines_of(change: Change, groups: dict[int, list[int]]) -> list[int]:
    """Return the changed lines of each group."""
    return [sum(change.lines(change.atoms[a]) for a in group) for group in groups.values()]


def add(measured: Measured, tallies: dict[str, Tally]) -> None:
    """Add the figures of one series."""
    for name, labels in measured.labels_of_atoms().items():
        tallies[name].order.update(measured.order(labels))
        tallies[name].ordered += bool(measured.needs)
    for name, labels in measured.methods().items():
        tally, groups = tallies[name], measured.atoms_of(labels)
        tally.ari.append(metrics.adjusted_rand(measured.person, labels))
        tally.f1.append(metrics.pairwise_f1(measured.person, labels))
        tally.nmi.append(metrics.normalized_information(measured.person, labels))
        count = len(measured.slices) if name == OURS else len(groups)
        tally.ratio.append(count / len(measured.series.commits))
        tally.lines += lines_of(measured.change, groups)
        if name in (OURS, "person", "one per file"):
            ordered = [groups[label] for label in sorted(groups)]
            good, tried = prefixes.parsing(measured.change, ordered)
            tally.parsing += good
            tally.prefixes += tried


@dataclass
class Figures:
    """What was found out about one series."""

    tallies: dict[str, Tally]
    same: bool
    by_mail: bool | None
    seconds: float
    built: prefixes.Built


@cache
def repository_at(git_dir: str) -> GitRepository:
    """Return a repository of this process."""
    return GitRepository(git_dir)


@cache
def code_digest() -> str:
    """Return the digest of the slicer and of what measures it."""
    digest = hashlib.sha256()
    for path in sorted(
        glob.glob(f"{CODE}/src/limosa_slice/**/*.py", recursive=True) + glob.glob(f"{CODE}/bench/slicer/*.py")
    ):
        with open(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def figures(git_dir: str, series: corpus.Series, command: str | None, options: argparse.Namespace) -> Figures:
    """Return what is kept about one series, or measure it and keep that."""
    asked = hashlib.sha256(repr((code_digest(), command, options.mail)).encode()).hexdigest()[:16]
    place = os.path.join(options.work, "figures", asked, f"{series.key}.pickle")
    if os.path.exists(place):
        with open(place, "rb") as file:
            kept: Figures = pickle.load(file)
        return kept
    found = measure_series(git_dir, series, command, options)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(f"{place}.new", "wb") as file:
        pickle.dump(found, file)
    os.replace(f"{place}.new", place)
    return found


def measure_series(git_dir: str, series: corpus.Series, command: str | None, options: argparse.Namespace) -> Figures:
    """Measure one series; its prefixes are built by `command`, if there is one."""
    measured = Measured(repository_at(git_dir), series)
    tallies: dict[str, Tally] = defaultdict(Tally)
    add(measured, tallies)
    built = prefixes.Built()
    if command:
        prefixes.build(measured, command, options.build_jobs, built)
    mails = measured.mails_are_same() if options.mail else None
    return Figures(dict(tallies), measured.tree_is_same(), mails, measured.seconds, built)


def all_figures(
    git_dir: str, chosen: list[corpus.Series], command: str | None, options: argparse.Namespace
) -> Iterable[Figures]:
    """Measure all series, `--jobs` at once; the first `--build` of them are built."""
    commands = [command if number < options.build else None for number in range(len(chosen))]
    with ProcessPoolExecutor(options.jobs) as pool:
        yield from pool.map(figures, [git_dir] * len(chosen), chosen, commands, [options] * len(chosen))


def measure(name: str, chosen: list[corpus.Series], git_dir: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return and print the report of one repository."""
    tallies: dict[str, Tally] = defaultdict(Tally)
    started, same, mails, seconds, built = time.monotonic(), 0, 0, [], prefixes.Built()
    for one in all_figures(git_dir, chosen, options.build_command.get(name), options):
        for method, tally in one.tallies.items():
            tallies[method].take(tally)
        same += one.same
        mails += bool(one.by_mail)
        seconds.append(one.seconds)
        built.take(one.built)
        print(f"\r{name}: {len(seconds)} of {len(chosen)}", end="", file=sys.stderr, flush=True)
    report = {
        "series": len(chosen), "trees_identical": same, "trees_identical_by_mail": mails if options.mail else None,
        "plan_seconds_median": round(statistics.median(seconds), 2),
        "plan_seconds_most": round(max(seconds), 2), "seconds_in_all": round(time.monotonic() - started),
        "built": built.row(), "methods": {method: tally.row() for method, tally in tallies.items()},
    }  # fmt: skip
    print(
        f"\r{name}: {same}/{len(chosen)} trees identical, by mail {report['trees_identical_by_mail']}, plan"
        f" {report['plan_seconds_median']} s, built {built.row()}"
    )
    heads = ("ARI", "95 %", "F1", "NMI", "ratio", "median", "90th", "tau-b", "parse")
    print(" " * 17 + " ".join(f"{head:>{wide}}" for head, wide in zip(heads, (5, 9, 5, 5, 6, 7, 5, 6, 7), strict=True)))
    for method, row in report["methods"].items():
        order = "" if row["order_tau_b"] is None else f"{row['order_tau_b']:.2f}"
        low, high = row["ari_95"]
        parse = "" if row["prefixes_parsing"] is None else f"{row['prefixes_parsing']:.1%}"
        print(
            f"  {method:14} {row['ari']:5.3f} {low:4.2f}-{high:4.2f} {row['pairwise_f1']:5.2f} {row['nmi']:5.2f}"
            f" {row['slices_per_commit_median']:6.2f} {row['lines_median']:7} {row['lines_90th']:5}"
            f" {order:>6} {parse:>7}",
            flush=True,
        )
    return report


def options_of(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("work")
    parser.add_argument("half", choices=["tuning", "reporting"])
    parser.add_argument("--json")
    parser.add_argument("--limit", type=int, default=10**9)
    parser.add_argument("--names", default="crun,ploop,dulwich")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--mail", action="store_true")
    parser.add_argument("--build", type=int, default=0, metavar="N")
    parser.add_argument("--build-jobs", type=int, default=1)
    parser.add_argument("--build-command", action="append", default=[], metavar="NAME=CMD")
    options = parser.parse_args(argv)
    options.build_command = dict(prefixes.COMMANDS, **dict(c.split("=", 1) for c in options.build_command))
    return options


def main() -> None:
    """Measure every repository."""
    options = options_of(sys.argv[1:])
    report = {}
    for name in options.names.split(","):
        chosen = corpus.halves(corpus.load(options.source, name))[options.half == "reporting"][: options.limit]
        report[name] = measure(name, chosen, corpus.bare_clone(options.source, name, options.work), options)
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"half": options.half, "repositories": report}, file, indent=1)


if __name__ == "__main__":
    main()
