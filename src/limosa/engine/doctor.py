"""What this machine can do: every subject tried, or remembered from an earlier trial under the same circumstances."""

from collections.abc import Callable

from limosa.ports.probes import MISSING, WORKS, Finding, FindingCache, Probes


def diagnose(
    probes: Probes,
    cache: FindingCache,
    now_s: Callable[[], float],
    *,
    refresh: bool = False,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> list[Finding]:
    """Return a finding for every subject, in order; `refresh` tries again what is remembered.

    Only what works is believed from before: what was missing may have been mended since, so it is tried each time.
    State: the cache is saved; nothing else of a trial stays.
    """
    findings = []
    for subject in probes.subjects():
        fingerprint = probes.fingerprint(subject)
        known = None if refresh else cache.recall(subject.name, fingerprint)
        if known is None or known[0].status == MISSING:
            outcome = probes.attempt(subject)
            known = (outcome, now_s())
            cache.remember(subject.name, fingerprint, *known)
        mend = known[0].mend or subject.mend
        finding = Finding(subject._replace(mend=mend), *known)
        findings.append(finding)
        on_finding(finding)
    cache.save()
    return findings


def able(findings: list[Finding]) -> bool:
    """Say whether limosa can do its work: nothing that is required is missing."""
    return not any(finding.subject.required and finding.outcome.status == MISSING for finding in findings)


def to_mend(findings: list[Finding]) -> list[Finding]:
    """Return the findings that are not "works" and can be mended by a command."""
    return [finding for finding in findings if finding.outcome.status != WORKS and finding.subject.mend]
