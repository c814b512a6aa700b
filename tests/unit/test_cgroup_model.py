"""Conversions between limits and what cgroup files say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limosa.model import cgroup
from limosa.model.cgroup import CgroupNode

WEIGHTS = st.integers(1, 10_000)


@given(WEIGHTS)
def test_a_weight_survives_cgroup_v1(weight: int) -> None:
    assert cgroup.weight_of_shares(cgroup.shares_of_weight(weight)) == weight


@given(WEIGHTS, WEIGHTS)
def test_a_heavier_container_never_becomes_lighter_on_another_scale(one: int, other: int) -> None:
    light, heavy = sorted((one, other))
    for scale in (cgroup.shares_of_weight, cgroup.bfq_weight, cgroup.blkio_weight):
        assert scale(light) <= scale(heavy)


@pytest.mark.parametrize(
    ("scale", "points"),
    [
        (cgroup.shares_of_weight, {1: 2, 100: 1024, 10_000: 262_144}),
        (cgroup.bfq_weight, {1: 1, 50: 50, 100: 100, 10_000: 1000}),
        (cgroup.blkio_weight, {1: 10, 100: 500, 10_000: 1000}),
        (cgroup.weight_of_shares, {0: 1, 2: 1, 1024: 100, 262_144: 10_000, 1 << 30: 10_000}),
    ],
)
def test_the_ends_and_the_defaults_of_scales_meet(scale, points) -> None:
    assert {weight: scale(weight) for weight in points} == points


@given(st.floats(0.0001, 4096, allow_nan=False))
def test_a_quota_is_what_was_asked_for_and_never_too_small_for_the_kernel(cpus: float) -> None:
    quota = cgroup.cpu_quota_us(cpus)
    assert quota >= 1000
    assert quota == 1000 or abs(quota / 100_000 - cpus) <= 0.000_005


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("max\n", None),
        ("-1", None),
        ("9223372036854771712", None),
        ("9223372036854710272", None),  # pages of 64 KiB
        ("67108864\n", 67108864),
        ("0", 0),
    ],
)
def test_limits_are_read(text: str, limit: int | None) -> None:
    assert cgroup.limit_of(text) == limit


LIMIT = st.one_of(st.none(), st.integers(0, 1 << 40))


@given(LIMIT, LIMIT, LIMIT, LIMIT)
def test_memory_never_exceeds_memory_and_swap_on_the_way(
    memory: int | None, swap: int | None, new_memory: int | None, new_swap: int | None
) -> None:
    """The kernel refuses a write that would break memory <= memory+swap; the chosen order never makes one."""

    def total(one: int | None, other: int | None) -> int | None:
        return None if one is None or other is None else one + other

    def number(limit: int | None) -> float:
        return float("inf") if limit is None else limit

    both, new_both = total(memory, swap), total(new_memory, new_swap)
    between = (memory, new_both) if cgroup.swap_limit_first(both, new_both) else (new_memory, both)
    assert number(between[0]) <= number(between[1])


def test_flat_keyed_files_and_io_counters() -> None:
    assert cgroup.keyed("usage_usec 12\nfrozen 1\nodd\nname x\n") == {"usage_usec": 12, "frozen": 1}
    assert cgroup.io_totals_v2("8:0 rbytes=5 wbytes=7 rios=1\n253:0 rbytes=1 wbytes=0\n") == (6, 7)
    assert cgroup.io_totals_v1("254:0 Read 10\n254:0 Write 20\n254:0 Total 30\n7:0 Read 1\nTotal 31\n") == (11, 20)


@given(st.frozensets(st.integers(0, 300)))
def test_cpu_lists_are_read(cpus: frozenset[int]) -> None:
    assert cgroup.cpus_of(",".join(map(str, sorted(cpus)))) == cpus


def test_a_cpu_list_has_ranges() -> None:
    assert cgroup.cpus_of("0-2,5,8-9\n") == {0, 1, 2, 5, 8, 9}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory.max", "max", None),
        ("memory.max", "4096", "4096"),
        ("io.weight", "default 100\n8:0 50", None),
        ("io.weight", "default 70\n8:0 50", "default 70"),
        ("io.bfq.weight", "100", None),
        ("memory.limit_in_bytes", "9223372036854771712", None),
        ("memory.limit_in_bytes", "4096", "4096"),
        ("cpu.weight", "0", None),
        ("cgroup.freeze", "1", None),
        ("cgroup.kill", "1", None),
    ],
)
def test_only_values_that_matter_are_saved(name: str, text: str, value: str | None) -> None:
    assert cgroup.worth_saving(name, text) == value


def test_a_forks_groups_belong_to_the_fork() -> None:
    node = CgroupNode(
        "unified", "a", 100_000, 165_536, 0o755, (), (("cgroup.procs", 100_005, 0), ("tasks", 99_999, 165_535)), ()
    )
    (moved,) = cgroup.with_owners_moved([node], 100_000, 300_000, 65_536)
    assert (moved.uid, moved.gid) == (300_000, 165_536)
    assert moved.owners == (("cgroup.procs", 300_005, 0), ("tasks", 99_999, 365_535))
