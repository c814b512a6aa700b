"""Runs of pages, held against sets of pages."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from limosa.model import page_runs
from limosa.model.page_runs import Run

RUNS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 12)), max_size=8)


def pages(runs: Iterable[Run]) -> set[int]:
    return {page for first, n_pages in runs for page in range(first, first + n_pages)}


@given(RUNS, RUNS)
def test_a_union_has_what_either_has_and_its_runs_are_apart(some: list[Run], others: list[Run]) -> None:
    found = page_runs.union(sorted(some), sorted(others))
    assert pages(found) == pages(some) | pages(others)
    assert all(first + n_pages < after for (first, n_pages), (after, _) in pairwise(found))


@given(RUNS, RUNS, RUNS)
def test_what_is_left_is_in_neither_of_what_was_copied(present: list[Run], kept: list[Run], again: list[Run]) -> None:
    """Pages that were kept while the container ran, and written again, are in both."""
    placed = page_runs.placed(page_runs.union(sorted(present)))
    left = [(first, n_pages) for first, n_pages, _ in page_runs.left(placed, page_runs.union(kept, again))]
    assert pages(left) == pages(present) - pages(kept) - pages(again)
