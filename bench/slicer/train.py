"""Learn the weights of evidence.py on the tuning half only: a logistic regression over pairs of atoms.

    uv run --with scikit-learn --with numpy bench/slicer/train.py SERIES_FOLDER WORK_FOLDER

Each series weighs the same, whatever its size. Prints BIAS and WEIGHTS to put in evidence.py.
"""

import sys
from collections import Counter

import corpus
import numpy as np
from sklearn.linear_model import LogisticRegression

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.engine import evidence
from limosa_slice.engine.atomize import read_change


def main() -> None:
    source, work = sys.argv[1:3]
    syntax, rows, labels, weights, names = TreeSitterSyntax(), [], [], [], {}
    for name in ("ploop", "crun", "dulwich"):
        tuning, _ = corpus.halves(corpus.load(source, name))
        repository = GitRepository(corpus.bare_clone(source, name, work))
        for series in tuning:
            change = read_change(repository, syntax, repository.tree_of(series.base), repository.tree_of(series.head))
            if len(change.atoms) > 250:
                continue
            truth = corpus.Truth(repository.git_dir, series, change)
            owners = [max(v, key=v.get) if v else -1 for v in map(truth.votes, change.atoms)]
            facts = evidence.read_facts(change, syntax)
            spread = evidence.spread_of(facts)
            known = [n for n, owner in enumerate(owners) if owner >= 0]
            pairs = [(a, b) for n, b in enumerate(known) for a in known[:n]]
            for a, b in pairs:
                features = evidence.pair_features(change, facts, spread, a, b)
                rows.append({names.setdefault(k, len(names)): v for k, v in features.items()})
                labels.append(owners[a] == owners[b])
                weights.append(len(known) / len(pairs) / (len(tuning) ** 0.5))
    matrix = np.zeros((len(rows), len(names)))
    for number, row in enumerate(rows):
        for column, value in row.items():
            matrix[number, column] = value
    fit = LogisticRegression(C=10, max_iter=500).fit(matrix, labels, sample_weight=np.array(weights) * 20)
    print("BIAS =", round(float(fit.intercept_[0]), 2), Counter(labels))
    print("WEIGHTS =", {name: round(float(fit.coef_[0][column]), 2) for name, column in names.items()})


if __name__ == "__main__":
    main()
