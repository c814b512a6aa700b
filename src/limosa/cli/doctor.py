"""`limosa doctor`: what this machine can do, found out by trying it, and what would stop a container's checkpoint."""

import argparse
import json
import time
from collections.abc import Sequence

from limosa.engine import doctor
from limosa.model import codec
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.obstacle import Obstacle
from limosa.ports.probes import Finding, Outcome, Subject

EXAMPLES = """examples:
  limosa doctor             a table; what worked before is remembered per kernel and program
  limosa doctor --refresh   try everything again
  limosa doctor --json      the same for a program
  limosa doctor db          what would stop a checkpoint of db: process, descriptor, what helps

exit status: 0 if everything that limosa requires works, or if nothing stops a checkpoint of the container; 1 otherwise
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--refresh", action="store_true", help="try again what worked before")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("container", nargs="?", metavar="CONTAINER", help="look at this container, which runs on")


def run(arguments: argparse.Namespace) -> int:
    """Carry the verb out and return the exit status."""
    if arguments.container:
        return _of_container(arguments)
    from limosa import wiring_setup

    findings = doctor.diagnose(
        wiring_setup.probes(), wiring_setup.finding_cache(), time.time, refresh=arguments.refresh
    )
    print(json.dumps(as_json(findings), indent=2) if arguments.json else table(findings))
    return 0 if doctor.able(findings) else 1


def _of_container(arguments: argparse.Namespace) -> int:
    from limosa import wiring
    from limosa.engine import obstacles

    if arguments.refresh:
        raise LimosaError(
            "LIM-CLI-003",
            "--refresh is of the machine's doctor: nothing is remembered of a container",
            hint="leave one of the two out",
            exit_status=EXIT_USAGE,
        )
    host = wiring.host(wiring.root_of(arguments.root))
    record = host.containers.find(arguments.container)
    found = obstacles.found(host, record)
    able = not any(one.stops for one in found)
    if arguments.json:
        told = {"container": record.config.name, "able": able, "obstacles": [codec.to_jsonable(one) for one in found]}
        print(json.dumps(told, indent=2))
    else:
        print(obstacle_table(record.config.name, found))
    return 0 if able else 1


def obstacle_table(name: str, found: Sequence[Obstacle]) -> str:
    """Return what stands in the way of a checkpoint as a person reads it: a table, then what helps."""
    from limosa.cli import table as tables

    lines = []
    if found:
        rows = [
            (one.command or "-", str(one.pid or "-"), one.place or "-", one.what, one.code if one.stops else "-")
            for one in found
        ]
        lines = [tables.render(("PROCESS", "PID", "WHERE", "WHAT", "CODE"), rows), ""]
        lines += [f"hint: {hint}" for hint in dict.fromkeys(one.hint for one in found if one.hint)]
    stopping = sum(one.stops for one in found)
    verdict = f"{stopping} of these would stop a checkpoint" if stopping else "nothing would stop a checkpoint"
    lines.append(f'"{name}": {verdict}')
    return "\n".join(lines)


def as_json(findings: list[Finding]) -> dict[str, object]:
    """Return the findings as values that JSON can hold."""
    return {
        "able": doctor.able(findings),
        "findings": [
            {
                **{key: getattr(finding.subject, key) for key in Subject._fields},
                **{key: getattr(finding.outcome, key) for key in Outcome._fields},
                "tried_at_s": finding.tried_at_s,
            }
            for finding in findings
        ],
    }


def table(findings: list[Finding]) -> str:
    """Return the findings as a person reads them: a table, then what to do about what does not work."""
    rows = [("SUBJECT", "STATUS", "VERSION", "NEEDED FOR")]
    for subject, outcome, _ in findings:
        optional = "" if subject.required else " (optional)"
        rows.append((subject.name, outcome.status, outcome.version or "-", subject.needed_for + optional))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[3]]) for row in rows
    ]
    broken = [finding for finding in findings if finding.outcome.status != "works"]
    for subject, outcome, _ in broken:
        lines += ["", f"{subject.name}: {outcome.detail}"]
        if subject.mend:
            lines.append(f"  mend: {subject.mend}")
    return "\n".join(lines)
