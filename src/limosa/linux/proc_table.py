"""What /proc says of a process. Source: proc_pid_stat(5), proc_pid_status(5)."""

import os

from limosa.model.value import NamedTuple


class ProcessRow(NamedTuple):
    """One process, by its ids in this process's namespaces unless the name says `inner`."""

    pid: int
    parent_pid: int
    inner_pid: int  # in its own, innermost pid namespace
    uid: int  # effective
    state: str
    tty: str  # "pts/0", "?" without one
    cpu_s: float
    started_s: float  # after boot
    resident_bytes: int
    virtual_bytes: int
    command: str  # its name, as the kernel has it
    argv: tuple[str, ...]  # empty for a zombie


def row(pid: int) -> ProcessRow:
    """Return what is known of a process. Raises: ProcessLookupError: it has gone."""
    try:
        stat, status, argv = (_text(f"/proc/{pid}/{name}") for name in ("stat", "status", "cmdline"))
    except (FileNotFoundError, ProcessLookupError) as gone:
        raise ProcessLookupError(f"no process {pid}") from gone
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    known = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    ticks = os.sysconf("SC_CLK_TCK")
    return ProcessRow(
        pid=pid,
        parent_pid=int(fields[1]),
        inner_pid=int(known.get("NSpid", str(pid)).split()[-1]),
        uid=int(known["Uid"].split()[1]),
        state=fields[0],
        tty=_tty(int(fields[4])),
        cpu_s=(int(fields[11]) + int(fields[12])) / ticks,
        started_s=int(fields[19]) / ticks,
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        virtual_bytes=int(fields[20]),
        command=name,
        argv=tuple(argv.rstrip("\0").split("\0")) if argv else (),
    )


def uptime_s() -> float:
    """Return seconds since boot, by the clock of `ProcessRow.started_s`."""
    import time

    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _tty(device: int) -> str:
    major, minor = os.major(device), os.minor(device)
    if 136 <= major <= 143:
        return f"pts/{(major - 136) * 256 + minor}"
    return {4: f"tty{minor}", 5: "console"}.get(major, "?")


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()
