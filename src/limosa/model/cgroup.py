"""What cgroup files say and take: pure conversions, orders of writing and defaults.

Weights are those of cgroup v2 (1..10000, 100 is the default); v1 has other scales for the same thing.
Source: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/; systemd's and the OCI runtimes' conversions.
"""

import math
from collections.abc import Iterable

from limosa.model.hints import Final
from limosa.model.value import NamedTuple

CPU_PERIOD_US: Final = 100_000
CPU_QUOTA_MIN_US: Final = 1_000
WEIGHT_MIN, WEIGHT_DEFAULT, WEIGHT_MAX = 1, 100, 10_000
_UNLIMITED: Final = 1 << 62  # v1 writes "no limit" as the largest multiple of a page
_BFQ: Final = (1, 100, 1000)
_BLKIO: Final = (10, 500, 1000)


class CgroupNode(NamedTuple):
    """One directory of a saved subtree; `path` is relative to the container's own group ("" is the group itself)."""

    hierarchy: str  # "unified" or the v1 controllers, "cpu,cpuacct"
    path: str
    uid: int
    gid: int
    mode: int
    values: tuple[tuple[str, str], ...]  # those that are not the kernel's defaults
    owners: tuple[tuple[str, int, int], ...]  # files whose owner is not the host's root
    xattrs: tuple[tuple[str, str], ...]  # name, hexadecimal value


def cpu_quota_us(cpus: float) -> int:
    """Return the quota per `CPU_PERIOD_US` that gives `cpus` processors' time; the kernel takes 1 ms at least."""
    return max(CPU_QUOTA_MIN_US, round(cpus * CPU_PERIOD_US))


def shares_of_weight(weight: int) -> int:
    """Return the cgroup v1 cpu.shares (2..262144) for a cpu.weight: the inverse of `weight_of_shares`."""
    exponent = math.log10(weight) + 7 / 34
    power = (math.sqrt(125**2 + 4 * 612 * exponent) - 125) / 2
    return min(1 << 18, max(2, math.floor(2**power + 1e-6)))


def weight_of_shares(shares: int) -> int:
    """Return the cpu.weight for cgroup v1 cpu.shares; both defaults, 1024 and 100, meet.

    Source: crun >= 1.23 and runc >= 1.4 convert so; before, 1024 became 39.
    """
    power = math.log2(min(1 << 18, max(2, shares)))
    weight = 10 ** ((power**2 + 125 * power) / 612 - 7 / 34)
    return min(WEIGHT_MAX, max(WEIGHT_MIN, math.ceil(weight - 1e-6)))


def bfq_weight(weight: int) -> int:
    """Return the weight of the BFQ scheduler (1..1000, 100 is the default) for an io.weight."""
    return _scaled(weight, _BFQ)


def blkio_weight(weight: int) -> int:
    """Return the cgroup v1 blkio.weight (10..1000, 500 is the default) for an io.weight."""
    return _scaled(weight, _BLKIO)


def _scaled(weight: int, scale: tuple[int, int, int]) -> int:
    """Map 1..100..10000 to the three points of `scale`, linearly in between, so that the defaults meet."""
    low, middle, high = scale
    if weight <= WEIGHT_DEFAULT:
        return middle - (WEIGHT_DEFAULT - weight) * (middle - low) // (WEIGHT_DEFAULT - WEIGHT_MIN)
    return middle + (weight - WEIGHT_DEFAULT) * (high - middle) // (WEIGHT_MAX - WEIGHT_DEFAULT)


def limit_of(text: str) -> int | None:
    """Return the number of a limit file; None is "no limit" ("max", -1, or v1's largest number)."""
    if text.strip() in ("max", "-1", ""):
        return None
    number = int(text)
    return None if number >= _UNLIMITED else number


def swap_limit_first(current: int | None, wanted: int | None) -> bool:
    """Say whether v1's memory+swap limit has to be written before the memory limit.

    The kernel keeps memory <= memory+swap at every moment: what grows is written first, what shrinks last.
    """
    return current is not None and (wanted is None or wanted > current)


def keyed(text: str) -> dict[str, int]:
    """Return a flat keyed file (`cpu.stat`, `memory.events`, …) as a dict; values that are no numbers are left out."""
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def io_totals_v2(text: str) -> tuple[int, int]:
    """Return (bytes read, bytes written) over all devices of an `io.stat`."""
    totals = {"rbytes": 0, "wbytes": 0}
    for line in text.splitlines():
        for word in line.split()[1:]:
            key, _, value = word.partition("=")
            if key in totals:
                totals[key] += int(value)
    return totals["rbytes"], totals["wbytes"]


def io_totals_v1(text: str) -> tuple[int, int]:
    """Return (bytes read, bytes written) over all devices of a `blkio.throttle.io_service_bytes…`."""
    totals = {"Read": 0, "Write": 0}
    for line in text.splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in totals:
            totals[words[1]] += int(words[2])
    return totals["Read"], totals["Write"]


def cpus_of(text: str) -> frozenset[int]:
    """Return the processors of a list such as `0-1,3`. Raises: ValueError: it is none."""
    found: set[int] = set()
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return frozenset(found)


def with_owners_moved(
    nodes: Iterable[CgroupNode], first_host_id: int, other_first_host_id: int, count: int
) -> tuple[CgroupNode, ...]:
    """Return `nodes` for a container whose ids start at `other_first_host_id` (a fork); other owners stay."""

    def moved(host_id: int) -> int:
        inside = host_id - first_host_id
        return other_first_host_id + inside if 0 <= inside < count else host_id

    return tuple(
        node._replace(
            uid=moved(node.uid),
            gid=moved(node.gid),
            owners=tuple((name, moved(uid), moved(gid)) for name, uid, gid in node.owners),
        )
        for node in nodes
    )


SETTABLE: Final[dict[str, str]] = {
    # cgroup v2: the file and the value that a new group has, in an order in which they can be written.
    "cgroup.max.depth": "max",
    "cgroup.max.descendants": "max",
    "cgroup.pressure": "1",
    "cpuset.mems": "",
    "cpuset.cpus": "",
    "cpuset.cpus.exclusive": "",
    "cpuset.cpus.partition": "member",
    "cpu.max": f"max {CPU_PERIOD_US}",
    "cpu.max.burst": "0",
    "cpu.idle": "0",
    "cpu.weight": "100",
    "cpu.uclamp.min": "0.00",
    "cpu.uclamp.max": "max",
    "io.weight": "default 100",
    "io.bfq.weight": "default 100",
    "memory.min": "0",
    "memory.low": "0",
    "memory.high": "max",
    "memory.max": "max",
    "memory.oom.group": "0",
    "memory.swap.high": "max",
    "memory.swap.max": "max",
    "memory.zswap.max": "max",
    "memory.zswap.writeback": "1",
    "pids.max": "max",
    "hugetlb.2MB.max": "max",
    "hugetlb.2MB.rsvd.max": "max",
    "hugetlb.1GB.max": "max",
    "hugetlb.1GB.rsvd.max": "max",
    # cgroup v1
    "cgroup.clone_children": "0",
    "notify_on_release": "0",
    "cpuset.cpu_exclusive": "0",
    "cpuset.mem_exclusive": "0",
    "cpuset.mem_hardwall": "0",
    "cpuset.memory_migrate": "0",
    "cpuset.sched_load_balance": "1",
    "cpu.cfs_period_us": str(CPU_PERIOD_US),
    "cpu.cfs_quota_us": "-1",
    "cpu.cfs_burst_us": "0",
    "cpu.shares": "1024",
    "blkio.weight": "500",
    "blkio.bfq.weight": "100",
    "memory.limit_in_bytes": "-1",
    "memory.memsw.limit_in_bytes": "-1",
    "memory.soft_limit_in_bytes": "-1",
    "memory.swappiness": "60",
    "net_cls.classid": "0",
}
"""What a checkpoint keeps of a group: not `cgroup.freeze` (a restore would stop in it), and of a file with a line per
device only the first, for a device number means another disk elsewhere."""


def worth_saving(name: str, text: str) -> str | None:
    """Return the value of a settable file that a checkpoint has to keep, or None: unknown, or the kernel's default."""
    default = SETTABLE.get(name)
    if default is None:
        return None
    value = text.split("\n", 1)[0].strip()
    if value == default or value.removeprefix("default ") == default.removeprefix("default "):
        return None
    if default == "-1" and limit_of(value) is None:
        return None
    if name == "cpu.weight" and value == "0":  # that is how cpu.idle shows in it
        return None
    return value


def with_owners_within(nodes: Iterable[CgroupNode], first_host_id: int, count: int) -> tuple[CgroupNode, ...]:
    """Return `nodes` with owners of that range alone: every other one becomes its first."""

    def within(host_id: int) -> int:
        return host_id if 0 <= host_id - first_host_id < count else first_host_id

    return tuple(
        node._replace(
            uid=within(node.uid),
            gid=within(node.gid),
            owners=tuple((name, within(uid), within(gid)) for name, uid, gid in node.owners),
        )
        for node in nodes
    )
