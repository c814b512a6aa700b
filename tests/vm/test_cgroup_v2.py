"""cgroup v2 with real controllers, under a distribution kernel: limosa's requirement for system containers."""

import os

import pytest
from machine import in_vm, said
from tests.e2e.conftest import template_rootfs

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.privileged,
    pytest.mark.needs("an outer network"),  # QEMU and the guest's packages may still have to be fetched
    pytest.mark.timeout(1800),
]


def test_containers_from_a_program_to_a_committed_debian(tmp_path) -> None:
    rootfs = template_rootfs("debian:12")
    out = os.path.join(tmp_path, "result")
    status = in_vm(f"python3 -m tests.vm.guest_containers files/{os.path.basename(rootfs)}", out, rootfs)
    assert status == 0, said(out) + said(out, "stderr")
    assert said(out).splitlines()[-1].endswith("nothing is left")


def test_the_cgroups_contract_with_controllers(tmp_path) -> None:
    out = os.path.join(tmp_path, "result")
    status = in_vm("python3 -m pytest -q -p no:cacheprovider tests/contract/cgroups", out)
    assert status == 0, said(out) + said(out, "stderr")
    assert " passed" in said(out)
