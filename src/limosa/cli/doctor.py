"""`limosa doctor`: what this machine can do, found out by trying it."""

import argparse
import json
import time

from limosa.engine import doctor
from limosa.ports.probes import Finding, Outcome, Subject

EXAMPLES = """examples:
  limosa doctor             a table; what worked before is remembered per kernel and program
  limosa doctor --refresh   try everything again
  limosa doctor --json      the same for a program

exit status: 0 if everything that limosa requires works, 1 otherwise
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--refresh", action="store_true", help="try again what worked before")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Carry the verb out and return the exit status."""
    from limosa import wiring_setup

    findings = doctor.diagnose(
        wiring_setup.probes(), wiring_setup.finding_cache(), time.time, refresh=arguments.refresh
    )
    print(json.dumps(as_json(findings), indent=2) if arguments.json else table(findings))
    return 0 if doctor.able(findings) else 1


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
