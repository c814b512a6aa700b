"""docs/compatibility.md is what the run of the matrix wrote, and has every program that is declared."""

from tests.e2e.matrix import compatibility
from tests.e2e.matrix.driver import STEPS
from tests.e2e.matrix.refused import CASES


def test_the_page_is_made_of_the_record() -> None:
    with open(compatibility.PAGE, encoding="utf-8") as file:
        assert file.read() == compatibility.page(*compatibility.read()), "make compatibility writes it"


def test_every_program_that_is_declared_was_run_and_no_other() -> None:
    assert list(compatibility.read().programs) == [program.what for program in compatibility.DECLARED]


def test_every_refusal_that_is_declared_was_run_and_no_other() -> None:
    assert list(compatibility.read().refusals) == list(CASES)


def test_what_fails_or_was_left_out_is_said() -> None:
    first, second, *_ = (program.what for program in compatibility.DECLARED)
    shown = compatibility.page(
        {
            first: {"failed": "in the step 'rewind': not | there", "where": "6.1, 4.2, v2"},
            second: {"versions": {"redis-server": "7"}, "steps": STEPS[:2], "frozen_ms": 5, "where": "6.1, 4.2, v2"},
        },
        {},
    )
    programs, refusals = shown.split("## What no commit can have")
    rows = [line for line in programs.splitlines() if line.startswith("| ")]
    assert refusals.count("not run") == len(CASES)
    assert "**fails** in the step 'rewind': not \\| there" in rows[2]
    assert rows[3].count("works") == 2
    assert rows[3].count("**no**") == len(STEPS) - 2
    assert rows[4].count("not run") == len(STEPS)
    assert len({row.replace("\\|", "").count("|") for row in rows}) == 1, "a table has as many columns in each row"
