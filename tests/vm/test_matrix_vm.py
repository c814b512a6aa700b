"""The line of the matrix that wants cgroup v2: a Debian with systemd."""

import json
import os

import pytest
from machine import in_vm, said
from tests.e2e.conftest import template_rootfs
from tests.e2e.matrix import compatibility
from tests.e2e.matrix.programs import SYSTEM

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.privileged,
    pytest.mark.needs("an outer network"),  # QEMU and the guest's packages may still have to be fetched
    pytest.mark.timeout(2400),
]


def test_a_debian_with_systemd(tmp_path, pytestconfig: pytest.Config) -> None:
    rootfs = template_rootfs("debian:12")
    out = os.path.join(tmp_path, "result")
    status = in_vm(f"python3 -m tests.vm.guest_matrix files/{os.path.basename(rootfs)}", out, rootfs, time_limit_s=2300)
    with open(f"{out}/out/compatibility.json", encoding="utf-8") as file:
        line = json.load(file)["programs"][SYSTEM.what]
    if pytestconfig.getoption("--compatibility"):
        compatibility.remember(SYSTEM.what, line)
    assert status == 0, said(out) + said(out, "stderr")
    assert line["where"].endswith(", v2")
