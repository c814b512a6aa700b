"""What the doctor remembers, what it tries again, and what it says."""

import json
import os

from tests.fakes.toolchain import FakeProbes, broken

from limosa.adapters.probe_cache import JsonFindingCache
from limosa.adapters.probes import SystemProbes
from limosa.cli import doctor as rendered
from limosa.engine import doctor
from limosa.ports.probes import DEGRADED, MISSING, Outcome, Subject

NEEDED = Subject("veth", "network", "an address", True, "modprobe veth")
OPTIONAL = Subject("soft-dirty", "kernel", "pre-dump", False, "")


def diagnose(probes: FakeProbes, cache: JsonFindingCache, *, refresh: bool = False) -> list[str]:
    return [finding.outcome.status for finding in doctor.diagnose(probes, cache, lambda: 7.0, refresh=refresh)]


def test_what_works_is_tried_once_per_fingerprint(tmp_path) -> None:
    path = os.path.join(tmp_path, "sub", "findings.json")
    probes = FakeProbes([NEEDED, OPTIONAL])
    assert diagnose(probes, JsonFindingCache(path)) == ["works", "works"]
    assert diagnose(probes, JsonFindingCache(path)) == ["works", "works"]
    assert probes.attempts == ["veth", "soft-dirty"]
    probes.edition = "2"
    diagnose(probes, JsonFindingCache(path))
    assert probes.attempts == ["veth", "soft-dirty"] * 2
    diagnose(probes, JsonFindingCache(path), refresh=True)
    assert probes.attempts == ["veth", "soft-dirty"] * 3


def test_what_is_missing_is_tried_each_time_and_a_mended_machine_is_seen(tmp_path) -> None:
    path = os.path.join(tmp_path, "findings.json")
    probes = FakeProbes([NEEDED], {"veth": broken()})
    assert diagnose(probes, JsonFindingCache(path)) == ["missing"]
    probes.outcomes.clear()
    assert diagnose(probes, JsonFindingCache(path)) == ["works"]


def test_a_damaged_cache_costs_only_time(tmp_path) -> None:
    path = os.path.join(tmp_path, "findings.json")
    for damage in ("", "[]", '{"veth": 3}', '{"veth": ["a", ["works"], 1]}'):
        with open(path, "w", encoding="utf-8") as file:
            file.write(damage)
        assert diagnose(FakeProbes([NEEDED]), JsonFindingCache(path)) == ["works"]


def test_only_what_is_required_and_missing_makes_a_machine_unable() -> None:
    cases = [
        ({"soft-dirty": broken()}, True),
        ({"veth": Outcome(DEGRADED, "slow")}, True),
        ({"veth": broken()}, False),
    ]
    for outcomes, able in cases:
        findings = doctor.diagnose(
            FakeProbes([NEEDED, OPTIONAL], outcomes), JsonFindingCache("/dev/null/no"), lambda: 1.0
        )
        assert doctor.able(findings) is able


def test_a_program_that_is_not_there_is_mended_by_installing_it() -> None:
    absent = Outcome(MISSING, "mkfs.btrfs is not installed", mend="limosa setup")
    (finding,) = doctor.diagnose(FakeProbes([NEEDED], {"veth": absent}), JsonFindingCache("/dev/null/no"), lambda: 1.0)
    assert rendered.table([finding]).endswith("veth: mkfs.btrfs is not installed\n  mend: limosa setup")
    known = SystemProbes({})
    subjects = {subject.name: subject for subject in known.subjects()}
    known._path = lambda name: None  # type: ignore[method-assign]
    for name in ("btrfs-loop", "overlay-idmapped", "conmon"):
        assert known.attempt(subjects[name]).mend == "limosa setup"


def test_the_table_says_why_and_how_to_mend_and_json_says_the_same(tmp_path) -> None:
    probes = FakeProbes([NEEDED, OPTIONAL], {"veth": broken("no such device")})
    findings = doctor.diagnose(probes, JsonFindingCache(os.path.join(tmp_path, "f")), lambda: 1.0)
    text = rendered.table(findings)
    assert "veth: no such device\n  mend: modprobe veth" in text
    assert "soft-dirty:" not in text
    value = json.loads(json.dumps(rendered.as_json(findings)))
    assert value["able"] is False
    assert value["findings"][0]["status"] == "missing"
    assert value["findings"][0]["needed_for"] == "an address"
