"""From limits to the files of cgroup v1 and v2, and changing several of them as one."""

import os
from collections.abc import Callable, Iterable

from limosa.linux import cgroupfs
from limosa.model import cgroup
from limosa.model.container import Limits
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_HINTS: Final = {
    "memory_bytes": "limosa stats shows what is in use",
    "swap_bytes": "limosa stats shows what is in use",
    "cpuset": "nproc says how many processors this machine has; the first is 0",
}


class Setting(NamedTuple):
    """One value of one file."""

    limit: str  # the field of Limits that it serves
    controller: str
    file: str
    value: str
    asked_for: bool  # False: it puts "no limit" in force, and a file that is not there is fine


class Write(NamedTuple):
    """A setting with the file that it goes to."""

    limit: str
    path: str
    value: str


def v2_settings(limits: Limits, every_cpu: str = "") -> list[Setting]:
    """Return what makes `limits` hold on cgroup v2; `every_cpu` is what a cpuset without a limit of its own gets."""
    quota = "max" if limits.cpus is None else str(cgroup.cpu_quota_us(limits.cpus))
    cpu_weight, io_weight = limits.cpu_weight is not None, limits.io_weight is not None
    io = limits.io_weight or cgroup.WEIGHT_DEFAULT
    return [
        Setting("memory_bytes", "memory", "memory.max", _or_max(limits.memory_bytes), limits.memory_bytes is not None),
        Setting("swap_bytes", "memory", "memory.swap.max", _or_max(limits.swap_bytes), limits.swap_bytes is not None),
        Setting("cpus", "cpu", "cpu.max", f"{quota} {cgroup.CPU_PERIOD_US}", limits.cpus is not None),
        Setting("cpu_weight", "cpu", "cpu.weight", str(limits.cpu_weight or cgroup.WEIGHT_DEFAULT), cpu_weight),
        Setting("cpuset", "cpuset", "cpuset.cpus", limits.cpuset or every_cpu, bool(limits.cpuset)),
        Setting("pids", "pids", "pids.max", _or_max(limits.pids), limits.pids is not None),
        Setting("io_weight", "io", "io.weight", f"default {io}", io_weight),
        Setting("io_weight", "io", "io.bfq.weight", f"default {cgroup.bfq_weight(io)}", io_weight),
    ]


def v1_settings(limits: Limits, every_cpu: str) -> list[Setting]:
    """Return what makes `limits` hold on cgroup v1, memory before memory+swap; `every_cpu` is the parent's cpuset.

    Raises: LimosaError LIM-CGRP-001: swap is limited and memory is not, which v1 cannot express.
    """
    memory, swap = limits.memory_bytes, limits.swap_bytes
    if swap is not None and memory is None:
        raise LimosaError(
            "LIM-CGRP-001",
            "swap cannot be limited alone",
            cause="cgroup v1 limits memory and swap together",
            hint="limit the memory too: --memory",
            exit_status=2,
        )
    both = -1 if memory is None or swap is None else memory + swap
    quota = -1 if limits.cpus is None else cgroup.cpu_quota_us(limits.cpus)
    shares = cgroup.shares_of_weight(limits.cpu_weight or cgroup.WEIGHT_DEFAULT)
    io, io_weight = limits.io_weight or cgroup.WEIGHT_DEFAULT, limits.io_weight is not None
    return [
        Setting("memory_bytes", "memory", "memory.limit_in_bytes", _or_minus(memory), memory is not None),
        Setting("swap_bytes", "memory", "memory.memsw.limit_in_bytes", str(both), swap is not None),
        Setting("cpus", "cpu", "cpu.cfs_quota_us", str(quota), limits.cpus is not None),
        Setting("cpu_weight", "cpu", "cpu.shares", str(shares), limits.cpu_weight is not None),
        Setting("cpuset", "cpuset", "cpuset.cpus", limits.cpuset or every_cpu, bool(limits.cpuset)),
        Setting("pids", "pids", "pids.max", _or_max(limits.pids), limits.pids is not None),
        Setting("io_weight", "blkio", "blkio.weight", str(cgroup.blkio_weight(io)), io_weight),
        Setting("io_weight", "blkio", "blkio.bfq.weight", str(cgroup.bfq_weight(io)), io_weight),
    ]


def _or_max(number: int | None) -> str:
    return "max" if number is None else str(number)


def _or_minus(number: int | None) -> str:
    return "-1" if number is None else str(number)


def resolved(settings: Iterable[Setting], directory_of: Callable[[str], str]) -> list[Write]:
    """Return the settings whose files are there; `directory_of` gives a controller's directory, "" if it has none.

    Raises: LimosaError LIM-CGRP-001: a limit that was asked for has no file here.
    """
    found, missing = [], {}
    for setting in settings:
        directory = directory_of(setting.controller)
        path = f"{directory}/{setting.file}"
        if directory and os.path.exists(path):
            found.append(Write(setting.limit, path, setting.value))
        elif setting.asked_for:
            missing[setting.limit] = setting
    for limit in {write.limit for write in found}:
        missing.pop(limit, None)
    for limit, setting in missing.items():
        raise LimosaError(
            "LIM-CGRP-001",
            f"this kernel cannot limit {limit}",
            cause=f"the controller {setting.controller} is not enabled, or has no {setting.file}",
            hint="limosa doctor shows what this machine can do",
        )
    return found


def apply(writes: Iterable[Write]) -> None:
    """Write all or nothing. What holds already is not written.

    Raises: LimosaError LIM-CGRP-002: the kernel refused one; those before it have their old values again.
    """
    done: list[Write] = []
    for write in writes:
        before = cgroupfs.read(write.path).split("\n", 1)[0]
        if before == write.value:
            continue
        try:
            cgroupfs.write(write.path, write.value)
        except OSError as error:
            _take_back(done)
            raise refused(write, os.strerror(error.errno or 0)) from error
        done.append(write._replace(value=before))


def _take_back(done: list[Write]) -> None:
    """Write the old values in reverse order, in which the kernel takes them as it took the new ones."""
    for write in reversed(done):
        cgroupfs.write(write.path, write.value)


def refused(write: Write, cause: str) -> LimosaError:
    """Return the error for a value that cannot hold."""
    return LimosaError(
        "LIM-CGRP-002",
        f"{write.limit} cannot be set",
        state="all limits are as they were",
        cause=f"{os.path.basename(write.path)} = {write.value}: {cause}",
        hint=_HINTS.get(write.limit, ""),
    )
