"""Learn engine/forest.py: boosted trees over the features of pairs of atoms, on tuning halves only.

    PYTHONPATH=src python bench/slicer/train.py SERIES_FOLDER WORK_FOLDER [--jobs N] [--check | --judge] [--names A,B] [--out FILE]

Series come from the tuning halves and from the merges of the further repositories of repositories.tsv, each up to a pinned
commit; none of these is ever reported on. WORK_FOLDER/NAME.git is used where it is there, else cloned. A series weighs the
square root of its atoms up to 20, so large ones do not drown the small. What was read of a series is kept in
WORK_FOLDER/examples under the digest of the code that reads it, so an interrupted run goes on where it was.

The same trees come out of every run, byte for byte, with the versions of requirements-train.txt: pairs are drawn by a seed of the
series' own name, repositories are taken in the order of their names, sets are walked in one order (PYTHONHASHSEED is set to
0), and one thread adds up. --check writes nothing and fails where the committed trees differ. --judge says how well trees that
were learnt without a repository tell its pairs apart.
"""  # noqa: E501

import argparse
import csv
import glob
import hashlib
import os
import subprocess
import sys
import zlib
from concurrent.futures import ProcessPoolExecutor

import corpus
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.evidence import NAMES, Evidence, read_past
from limosa_slice.engine.facts import read_facts

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.join(HERE, "../../src/limosa_slice")
FOREST = os.path.join(PACKAGE, "engine/forest.py")
READERS = ("engine/atomize.py", "engine/evidence.py", "engine/facts.py", "adapters/*.py", "model/*.py")
TUNED = ("crun", "dulwich", "ploop")
PAIRS = 420  # of one series
MERGES = 60  # of one repository
MOST_ATOMS = 450
TREES, LEAVES = 240, 16
HISTORY = 2000
Examples = tuple[np.ndarray, np.ndarray, np.ndarray]


def further() -> dict[str, tuple[str, str]]:
    """Return the URL and the last commit of each repository whose merges are learnt from."""
    with open(os.path.join(HERE, "repositories.tsv"), newline="") as file:
        return {name: (url, tip) for name, url, tip in csv.reader(file, delimiter="\t")}


def series_of(source: str, work: str, name: str) -> tuple[str, list[corpus.Series]]:
    """Return the git directory of a repository and the series to learn from."""
    if name in TUNED:
        return corpus.bare_clone(source, name, work), corpus.halves(corpus.load(source, name))[0]
    url, tip = further()[name]
    place = os.path.join(work, f"{name}.git")
    if not os.path.isdir(place):
        subprocess.run(["git", "clone", "-q", "--bare", url, place], check=True)
    return place, corpus.mined(place, name, tip, MERGES)


def examples(repository: GitRepository, series: corpus.Series) -> Examples:
    """Return features, labels and weights of pairs of one series; none where it teaches nothing."""
    syntax = TreeSitterSyntax()
    change = read_change(repository, syntax, repository.tree_of(series.base), repository.tree_of(series.head))
    pairs: list[tuple[int, int]] = []
    owners: list[int] = []
    if 2 <= len(change.atoms) <= MOST_ATOMS:
        truth = corpus.Truth(repository.git_dir, series, change)
        owners = [max(v, key=v.__getitem__) if v else -1 for v in map(truth.votes, change.atoms)]
        known = [n for n, owner in enumerate(owners) if owner >= 0]
        pairs = [(a, b) for n, b in enumerate(known) for a in known[:n]]
    if not pairs:
        return np.empty((0, len(NAMES)), np.float32), np.empty(0, bool), np.empty(0)
    if len(pairs) > PAIRS:
        chance = np.random.default_rng(zlib.crc32(series.key.encode()))
        pairs = [pairs[n] for n in chance.choice(len(pairs), PAIRS, replace=False)]
    past = read_past(change, repository.history(series.base, HISTORY))
    evidence = Evidence(change, *read_facts(change, syntax), past)
    features = np.array([evidence.features(a, b) for a, b in pairs], dtype=np.float32)
    labels = np.array([owners[a] == owners[b] for a, b in pairs])
    return features, labels, np.full(len(pairs), min(len(owners), 20) ** 0.5 / len(pairs))


def read(source: str, work: str, name: str) -> Examples:
    """Return the examples of one repository, series by series; what was read before is not read again."""
    digest = hashlib.sha256(repr((PAIRS, MOST_ATOMS, HISTORY)).encode())
    for reader in sorted(path for pattern in READERS for path in glob.glob(os.path.join(PACKAGE, pattern))):
        with open(reader, "rb") as file:
            digest.update(file.read())
    folder = os.path.join(work, "examples", digest.hexdigest()[:16])
    os.makedirs(folder, exist_ok=True)
    git_dir, chosen = series_of(source, work, name)
    repository, found = GitRepository(git_dir), []
    for series in chosen:
        kept = os.path.join(folder, f"{series.key}.npz")
        if not os.path.exists(kept):
            np.savez_compressed(f"{kept}.new.npz", *examples(repository, series))
            os.replace(f"{kept}.new.npz", kept)
        with np.load(kept) as file:
            found.append((file["arr_0"], file["arr_1"], file["arr_2"]))
    repository.close()
    print(f"{name}: {len(found)} series", flush=True)
    return joined(found)


def joined(parts: list[Examples]) -> Examples:
    """Return examples as one."""
    features, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return features, labels, weights


def learn(features: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> HistGradientBoostingClassifier:
    """Return the trees that these examples teach."""
    model = HistGradientBoostingClassifier(
        max_iter=TREES,
        max_leaf_nodes=LEAVES,
        learning_rate=0.07,
        min_samples_leaf=80,
        l2_regularization=5,
        max_features=0.6,
        early_stopping=False,
        random_state=0,
    )
    with threadpool_limits(1):
        return model.fit(features, labels, sample_weight=weights * len(weights) / weights.sum())


def judge(found: dict[str, Examples]) -> None:
    """Print how well the pairs of each repository are told apart by trees that were learnt without it."""
    print(f"{'':12} {'pairs':>7} {'together':>8} {'AUC':>6} {'AP':>6}")
    for name, (features, labels, weights) in found.items():
        model = learn(*joined([part for other, part in found.items() if other != name]))
        guess = model.predict_proba(features)[:, 1]
        area = roc_auc_score(labels, guess, sample_weight=weights)
        precision = average_precision_score(labels, guess, sample_weight=weights)
        share = np.average(labels, weights=weights)
        print(f"{name:12} {len(labels):7} {share:8.1%} {area:6.3f} {precision:6.3f}", flush=True)


def expression(nodes: np.ndarray, index: int) -> str:
    """Return a tree as a Python expression over `f`."""
    node = nodes[index]
    if node["is_leaf"]:
        return f"{node['value']:.3g}"
    test = f"f[{node['feature_idx']}] <= {node['num_threshold']:.4g}"
    return f"({expression(nodes, node['left'])} if {test} else {expression(nodes, node['right'])})"


def forest_text(model: HistGradientBoostingClassifier) -> str:
    """Return the trees as a Python module."""
    trees = [expression(stage[0].nodes, 0) for stage in model._predictors]
    base = float(np.ravel(model._baseline_prediction)[0])
    return "".join((
        '"""Generated by bench/slicer/train.py from the features of engine/evidence.py; not to be edited."""\n',
        "# fmt: off\n# ruff: noqa: E501\n\nfrom collections.abc import Sequence\n\n",
        f"FEATURES = {len(NAMES)}\n\n\n",
        "def log_odds(f: Sequence[float]) -> float:\n",
        '    """Return the log-odds that a pair with features `f` belongs together."""\n    return (\n',
        f"        {base:.4f}\n", *(f"        + {tree}\n" for tree in trees), "    )\n",
    ))  # fmt: skip


def options_of(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("work")
    parser.add_argument("--jobs", type=int, default=1, help="repositories that are read at once")
    parser.add_argument("--names", help="learn from these repositories only")
    parser.add_argument("--out", default=FOREST)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true")
    what.add_argument("--judge", action="store_true")
    return parser.parse_args(argv)


def main() -> None:
    """Read, learn, write."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
    options = options_of(sys.argv[1:])
    names = sorted(options.names.split(",") if options.names else [*TUNED, *further()])
    with ProcessPoolExecutor(options.jobs) as pool:
        parts = list(pool.map(read, [options.source] * len(names), [options.work] * len(names), names))
    found = dict(zip(names, parts, strict=True))
    if options.judge:
        judge(found)
        return
    features, labels, weights = joined(parts)
    print(f"{len(labels)} pairs, {labels.mean():.1%} of them together", flush=True)
    text = forest_text(learn(features, labels, weights))
    if options.check:
        with open(options.out) as file:
            sys.exit(None if file.read() == text else f"{options.out} is not what these series teach")
    with open(options.out, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main()
