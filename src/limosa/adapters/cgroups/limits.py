"""From limits to the files of cgroup v1 and v2, in the order in which they have to be written."""

from limosa.model.container import Limits

_CPU_PERIOD_US = 100_000


def shares_of_weight(weight: int) -> int:
    """Return cgroup v1 cpu.shares for a cgroup v2 cpu.weight (1..10000), as OCI runtimes convert them."""
    return 2 + (weight - 1) * 262142 // 9999


def v2_values(limits: Limits) -> list[tuple[str, str]]:
    """Return (file, value) pairs for cgroup v2; no limit is "max"."""
    quota = "max" if limits.cpus is None else str(int(limits.cpus * _CPU_PERIOD_US))
    values = [
        ("memory.max", _or_max(limits.memory_bytes)),
        ("memory.swap.max", _or_max(limits.swap_bytes)),
        ("cpu.max", f"{quota} {_CPU_PERIOD_US}"),
        ("cpu.weight", str(limits.cpu_weight or 100)),
        ("pids.max", _or_max(limits.pids)),
    ]
    if limits.cpuset:
        values.append(("cpuset.cpus", limits.cpuset))
    if limits.io_weight is not None:
        values.append(("io.weight", str(limits.io_weight)))
    return values


def v1_values(limits: Limits) -> list[tuple[str, str, str]]:
    """Return (controller, file, value) for cgroup v1; no limit is -1."""
    memory = -1 if limits.memory_bytes is None else limits.memory_bytes
    both = -1 if limits.swap_bytes is None or memory < 0 else memory + limits.swap_bytes
    quota = -1 if limits.cpus is None else int(limits.cpus * _CPU_PERIOD_US)
    values = [
        ("memory", "memory.limit_in_bytes", str(memory)),
        ("memory", "memory.memsw.limit_in_bytes", str(both)),
        ("cpu", "cpu.cfs_quota_us", str(quota)),
        ("cpu", "cpu.shares", str(shares_of_weight(limits.cpu_weight or 100))),
        ("pids", "pids.max", _or_max(limits.pids)),
    ]
    if limits.cpuset:
        values.append(("cpuset", "cpuset.cpus", limits.cpuset))
    if limits.io_weight is not None:
        values.append(("blkio", "blkio.weight", str(max(10, min(1000, limits.io_weight)))))
    return values


def _or_max(number: int | None) -> str:
    return "max" if number is None else str(number)
