"""Make the tables of docs/slicing-results.md of what run.py and large.py have written.

bench/slicer/table.py RUN_JSON [LARGE_JSON] >docs/slicing-results.md
"""

import json
import math
import sys
from typing import Any

OURS = "limosa slice"
NONE = ""


def most(row: dict[str, Any]) -> float:
    """Return τ-b of an order that has every pair of different slices as the person has it."""
    counts = row["order_pairs"]
    decided = counts.get("same", 0) + counts.get("reversed", 0)
    return math.sqrt(decided / (decided + counts.get("tied", 0))) if decided else 0.0


def pairs(row: dict[str, Any]) -> str:
    """Return how many pairs do not commute, and in how many series they are."""
    return f"{sum(row['order_pairs'].values())} in {row['order_series']}"


def proof(repositories: dict[str, Any], large: dict[str, Any] | None) -> list[str]:
    """Return the table of what must be reached."""
    rows = ["| | must | aim | " + " | ".join(repositories) + " |", "|---|---|---|" + "---|" * len(repositories)]

    def row(what: str, must: str, aim: str, cells: list[str]) -> None:
        rows.append(f"| {what} | {must} | {aim} | " + " | ".join(cells) + " |")

    def ours(text: str) -> list[str]:
        return [text.format(**report["methods"][OURS]) for report in repositories.values()]

    def built(text: str) -> list[str]:
        known = [report["built"] for report in repositories.values()]
        return [text.format(**one) if one and one["series"] else "not built" for one in known]

    reports = repositories.values()
    row("tree identity", "100 %", "100 %", [f"{r['trees_identical']} of {r['series']}" for r in reports])
    row("… by mail", "100 %", "100 %", [f"{r['trees_identical_by_mail']} of {r['series']}" for r in reports])
    row("prefixes building", "100 %", "", built("{passing} of {slices_after_trial}"))
    row("… as planned", "", "", built("{passing_as_planned} of {slices_planned}"))
    row("… the person's own", "", "", built("{person_passing} of {person_commits}"))
    row("… of so many series (and so many whose ends do not build)", "", "", built("{series} ({ends_do_not_build})"))
    row("ARI", "≥ 0.50", "≥ 0.65", ours("{ari:.3f} ({ari_95[0]:.2f} to {ari_95[1]:.2f})"))
    row("slices ÷ commits, median", "0.5 to 2", "0.8 to 1.25", ours("{slices_per_commit_median:.2f}"))
    row("lines, median / 90th", "≤ 80 / ≤ 250", "≤ 50 / ≤ 150", ours("{lines_median} / {lines_90th}"))
    row("order τ-b", "≥ 0.6", "≥ 0.8", ours("{order_tau_b}"))
    row("… what any order of these slices has at most", "", "", [f"{most(r['methods'][OURS]):.2f}" for r in reports])
    row("… of so many pairs, in so many series", "", "", [pairs(r["methods"][OURS]) for r in reports])
    row("builds per slice", "≤ 10", "≤ 3", built("{builds_per_slice}"))
    row(
        "plan, seconds, median / most",
        "",
        "",
        [f"{r['plan_seconds_median']} / {r['plan_seconds_most']}" for r in reports],
    )
    if not large:
        return rows
    rows.append("")
    rows.append(
        f"One change of {large['atoms']:,} atoms in 200 files (must 10 minutes, aim 1 minute): planned in"
        f" {large['seconds']} s ({large['processor_seconds']} s of processor time), {large['mib']} MiB,"
        f" {large['slices']} slices."
    )
    return rows


def methods(repositories: dict[str, Any]) -> list[str]:
    """Return the table of all methods."""
    rows = [
        "| | method | ARI | F1 | NMI | slices ÷ commits | lines, median / 90th | order τ-b (same / reversed / tied)"
        " | prefixes that parse |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, report in repositories.items():
        first = f"{name}, {report['series']} series"
        for method, row in report["methods"].items():
            pairs = row["order_pairs"]
            counts = " / ".join(str(pairs.get(key, 0)) for key in ("same", "reversed", "tied"))
            order = f"{row['order_tau_b']} ({counts})" if pairs else NONE
            parse = f"{row['prefixes_parsing']:.1%}" if row["prefixes_parsing"] else NONE
            rows.append(
                f"| {first} | {method} | {row['ari']:.3f} | {row['pairwise_f1']:.2f} | {row['nmi']:.2f}"
                f" | {row['slices_per_commit_median']:.2f} | {row['lines_median']} / {row['lines_90th']}"
                f" | {order} | {parse} |"
            )
            first = NONE
    return rows


def main() -> None:
    """Read, print."""
    with open(sys.argv[1]) as file:
        run = json.load(file)
    large = None
    if len(sys.argv) > 2:
        with open(sys.argv[2]) as file:
            large = json.load(file)
    print(f"# What `bench/slicer` measured on the {run['half']} half\n")
    print("Made by `bench/slicer/table.py`; not to be edited.\n")
    print("\n".join(proof(run["repositories"], large)) + "\n")
    print("\n".join(methods(run["repositories"])))


if __name__ == "__main__":
    main()
