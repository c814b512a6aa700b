"""When rounds end: what fits, what does not pay off, what was asked for."""

from hypothesis import given
from hypothesis import strategies as st

from limosa.model import precopy
from limosa.model.precopy import Round, Wish

MB = 1_000_000


def simulated(total: int, dirty_per_s: float, send_per_s: float, wish: Wish) -> list[Round]:
    """Return the rounds of a container that writes at a steady rate."""
    rounds: list[Round] = []
    left = float(total)
    while precopy.another(tuple(rounds), wish):
        rounds.append(Round(int(left), 0.1, left / send_per_s))
        left = min(float(total), dirty_per_s * (0.1 + left / send_per_s))
    return rounds


def test_a_quiet_container_takes_two_rounds() -> None:
    assert len(simulated(500 * MB, 0.1 * MB, 100 * MB, Wish())) == 2


def test_rounds_go_on_until_what_is_left_fits() -> None:
    rounds = simulated(500 * MB, 20 * MB, 100 * MB, Wish(max_downtime_s=0.2))
    assert 3 <= len(rounds) <= 5
    assert precopy.forecast(tuple(rounds)).send_s <= 0.05
    patient = simulated(500 * MB, 20 * MB, 100 * MB, Wish(max_downtime_s=4))
    assert len(patient) < len(rounds)


def test_rounds_that_do_not_pay_off_end() -> None:
    assert len(simulated(500 * MB, 95 * MB, 100 * MB, Wish())) == 2
    assert len(simulated(500 * MB, 300 * MB, 100 * MB, Wish())) == 2


def test_a_number_that_was_asked_for_is_kept() -> None:
    for count in range(5):
        assert len(simulated(500 * MB, 300 * MB, 100 * MB, Wish(rounds=count))) == count


@given(st.integers(0, 10**12), st.floats(0, 1e12), st.floats(1e3, 1e12), st.floats(0, 100))
def test_it_always_ends_and_forecasts_no_more_than_was_sent(
    total: int, dirty: float, send: float, downtime: float
) -> None:
    rounds = simulated(total, dirty, send, Wish(downtime))
    assert 1 <= len(rounds) <= precopy.MOST_ROUNDS
    found = precopy.forecast(tuple(rounds))
    assert 0 <= found.left_bytes <= rounds[-1].sent_bytes
