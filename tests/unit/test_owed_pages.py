"""What is owed, against a dict, over random histories."""

from hypothesis import given, settings
from hypothesis import strategies as st

from limosa.model.owed_pages import OwedPages

PAGE = st.integers(0, 60)
STEPS = st.lists(st.tuples(st.sampled_from(["settle", "move", "fork"]), PAGE, PAGE, st.integers(0, 30)), max_size=12)
RUNS = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=8)


def as_dict(owed: OwedPages) -> dict[int, int]:
    found: dict[int, int] = {}
    last = -1
    for first, end, source in owed:
        assert last < first < end, "sorted, apart, and not empty"
        last = end - 1
        found.update({page: source + page - first for page in range(first, end)})
    assert owed.n_pages() == len(found) and bool(owed) == bool(found)
    return found


@settings(max_examples=60, deadline=None)
@given(RUNS, STEPS)
def test_it_is_a_dict_of_pages(gaps_and_sizes: list[tuple[int, int]], steps: list[tuple[str, int, int, int]]) -> None:
    runs, at = [], 0
    for gap, n_pages in gaps_and_sizes:
        runs.append((at + gap, n_pages))
        at += gap + n_pages
    owed = OwedPages(runs)
    known = {first + step: first + step for first, n_pages in runs for step in range(n_pages)}
    for what, one, other, n_pages in steps:
        if what == "settle":
            taken = {source for _, end, source in owed.settle(one, one + n_pages) if end}
            assert taken <= {known[page] for page in range(one, one + n_pages) if page in known}
            known = {page: source for page, source in known.items() if not one <= page < one + n_pages}
        elif what == "move":
            moved = {page - one + other: known[page] for page in range(one, one + n_pages) if page in known}
            known = {page: source for page, source in known.items() if not one <= page < one + n_pages}
            known = {page: source for page, source in known.items() if not other <= page < other + n_pages} | moved
            owed.move(one, other, n_pages)
        else:
            before = owed.copied()
            owed.settle(0, 1000)
            assert as_dict(owed) == {}
            owed = before
        assert as_dict(owed) == known
        for page in range(0, 90, 4):
            run = owed.at(page)
            assert (None if run is None else run[2] + page - run[0]) == known.get(page)
            following = owed.following(page)
            later = sorted(number for number in known if number >= page)
            assert (following and following[0]) == (later[0] if later else None)
            assert following is None or following[2] == known[later[0]]
