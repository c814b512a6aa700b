"""limosa top"""

from collections.abc import Callable

from limosa import wiring
from limosa.cli import arguments, table
from limosa.engine import bundle, lifecycle
from limosa.engine.host import Host
from limosa.linux import proc_table, process
from limosa.linux.proc_table import ProcessRow
from limosa.model import json_text
from limosa.model.container import SUBORDINATE_IDS, ContainerRecord
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Final

EXAMPLES = """\
examples:
  limosa top web
  limosa top web pid hpid rss args
  limosa top web -eo pid,wchan,comm     (ps, with the host's pids)
columns:
  user uid pid ppid hpid (on the host) pcpu etime time tty stat rss vsz comm args"""

_DEFAULT: Final = ("user", "pid", "ppid", "pcpu", "etime", "tty", "time", "args")


def configure(parser: arguments.Parser) -> None:
    """Add the options."""
    parser.add_argument("--json", action="store_true")
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("columns", nargs=arguments.REMAINDER, metavar="COLUMN …|PS-OPTION …")


def run(args: arguments.Arguments) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    lifecycle.require_running(record, "list the processes of")
    pids = host.cgroups.processes(record.container_id)
    as_json = args.json or "--json" in args.columns
    columns = [column for column in args.columns if column != "--json"]
    if columns and columns[0].startswith("-"):
        print(_by_ps(columns, set(pids)))
        return 0
    head = [name for column in columns for name in column.lower().split(",") if name] or list(_DEFAULT)
    rows = _rows(pids)
    of = _columns(host, record, {row.pid: row.inner_pid for row in rows})
    unknown = [name for name in head if name not in of]
    if unknown:
        raise LimosaError(
            "LIM-CLI-002",
            f"there is no column {unknown[0]!r}",
            hint=f"one of {' '.join(of)}, or options of ps, which begin with -",
            exit_status=EXIT_USAGE,
        )
    cells = [[of[name](row) for name in head] for row in rows]
    if as_json:
        print(json_text.dumps([dict(zip(head, line, strict=True)) for line in cells], indent=1))
    else:
        print(table.render([name.upper() for name in head], cells))
    return 0


def _rows(pids: list[int]) -> list[ProcessRow]:
    found = []
    for pid in pids:
        try:
            found.append(proc_table.row(pid))
        except ProcessLookupError:
            continue
    return sorted(found, key=lambda row: row.inner_pid)


def _columns(host: Host, record: ContainerRecord, inner: dict[int, int]) -> dict[str, Callable[[ProcessRow], str]]:
    now_s = proc_table.uptime_s()
    names: dict[int, str] = {}

    def uid(row: ProcessRow) -> int:
        first = record.first_host_id
        return row.uid - first if first and first <= row.uid < first + SUBORDINATE_IDS else row.uid

    def user(row: ProcessRow) -> str:
        number = uid(row)
        if number not in names:
            names[number] = bundle.account(host, record, str(number)).name or str(number)
        return names[number]

    return {
        "user": user,
        "uid": lambda row: str(uid(row)),
        "pid": lambda row: str(row.inner_pid),
        "ppid": lambda row: str(inner.get(row.parent_pid, 0)),
        "hpid": lambda row: str(row.pid),
        "pcpu": lambda row: f"{100 * row.cpu_s / max(now_s - row.started_s, 0.01):.1f}",
        "etime": lambda row: _clock(now_s - row.started_s),
        "time": lambda row: _clock(row.cpu_s),
        "tty": lambda row: row.tty,
        "stat": lambda row: row.state,
        "rss": lambda row: str(row.resident_bytes >> 10),
        "vsz": lambda row: str(row.virtual_bytes >> 10),
        "comm": lambda row: row.command,
        "args": lambda row: " ".join(row.argv) or f"[{row.command}]",
    }


def _clock(seconds: float) -> str:
    """Return a duration as ps writes it: [[DD-]HH:]MM:SS."""
    minutes, left = divmod(int(max(0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{minutes:02}:{left:02}"
    if hours or days:
        text = f"{hours:02}:{text}"
    return f"{days}-{text}" if days else text


def _by_ps(options: list[str], pids: set[int]) -> str:
    """Return the lines of the host's ps that are the container's. Raises: LimosaError LIM-CLI-002."""
    done = process.capture(["ps", *options])
    head, *lines = done.stdout.decode(errors="replace").splitlines() or [""]
    if done.status != 0 or "PID" not in head.split():
        raise LimosaError(
            "LIM-CLI-002",
            f"ps {' '.join(options)} does not show which process is which",
            cause=done.stderr.decode(errors="replace").strip() or "it has no column PID",
            hint="limosa top NAME -eo pid,user,args",
            exit_status=EXIT_USAGE,
        )
    place = head.split().index("PID")
    kept = [line for line in lines if _is_ours(line.split(), place, pids)]
    return "\n".join([head, *kept])


def _is_ours(fields: list[str], place: int, pids: set[int]) -> bool:
    return len(fields) > place and fields[place].isdigit() and int(fields[place]) in pids
