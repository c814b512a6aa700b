"""Commits at their times, by a systemd that runs the machine."""

import os

import pytest
from machine import in_vm, said

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.privileged,
    pytest.mark.needs("an outer network"),  # QEMU and the guest's packages may still have to be fetched
    pytest.mark.timeout(1800),
]


def test_a_timer_commits_and_thins_out(tmp_path) -> None:
    out = os.path.join(tmp_path, "result")
    status = in_vm("python3 -m tests.vm.guest_schedule", out)
    assert status == 0, said(out) + said(out, "stderr")
    assert said(out).splitlines()[-1].endswith("nothing is left")
