"""What only a distribution kernel can show: cgroup v2, soft-dirty, and Debian 13's own criu passing its trial."""

import json
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


def test_setup_takes_debians_own_criu_and_the_doctor_finds_everything(tmp_path) -> None:
    out = os.path.join(tmp_path, "result")
    unit = "limosa-onboot.service"
    status = in_vm(
        "limosa setup >out/setup && limosa doctor --refresh --json && "
        f"systemctl is-enabled {unit} >out/enabled && systemd-analyze verify {unit} 2>out/verified",
        out,
    )
    assert status == 0, said(out)
    value = json.loads(said(out))
    assert value["able"] is True
    found = {finding["name"]: finding for finding in value["findings"]}
    assert {name for name, finding in found.items() if finding["status"] != "works"} == set()
    assert "cgroup v2" in found["cgroups"]["detail"]
    with open(os.path.join(out, "out", "setup"), encoding="utf-8") as file:
        chosen = file.read()
    assert "criu: /usr/sbin/criu (system)" in chosen
    assert "crun: /usr/bin/crun (system)" in chosen
    with open(os.path.join(out, "out", "enabled"), encoding="ascii") as file:
        assert file.read() == "enabled\n"
    with open(os.path.join(out, "out", "verified"), encoding="utf-8") as file:
        assert "limosa" not in file.read()


def test_a_command_that_fails_in_the_vm_fails_here(tmp_path) -> None:
    assert in_vm("echo here; exit 7", os.path.join(tmp_path, "result")) == 7
    assert said(os.path.join(tmp_path, "result")) == "here\n"
