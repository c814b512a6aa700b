"""The monitor's log, and times as people write them."""

import pytest

from limosa.model import console_log
from limosa.model.console_log import Entry
from limosa.model.errors import LimosaError

TIME = "2026-11-24T02:24:36.123456789+00:00"


def test_entries() -> None:
    assert console_log.entry(f"{TIME} stdout F two words\r\n".encode()) == Entry(TIME, "stdout", True, b"two words\r")
    assert console_log.entry(f"{TIME} stderr P \n".encode()) == Entry(TIME, "stderr", False, b"")
    for damaged in (b"", b"\n", b"2026 stdout\n", b"\0\0\0", f"{TIME} stdin F x\n".encode()):
        assert console_log.entry(damaged) is None


def test_times() -> None:
    assert console_log.time_ns(TIME) == 1795487076_123456789
    assert console_log.time_ns("2026-11-24T04:24:36+02:00") == 1795487076 * 10**9
    assert console_log.moment_ns("2026-11-24", 0) == 1795478400 * 10**9
    assert console_log.moment_ns("1h30m", 10**13) == 10**13 - 5400 * 10**9
    assert console_log.moment_ns("1795487076.5", 0) == 1795487076_500000000


@pytest.mark.parametrize("text", ["", "now", "10x", "1h 5m", "2026-13-01", "-5m"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(LimosaError) as refused:
        console_log.moment_ns(text, 0)
    assert refused.value.exit_status == 2
