"""Written pages on a distribution kernel: the only one here with soft-dirty bits, and another with userfaultfd."""

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

CHOSEN = "soft-dirty or (userfaultfd and (only_what or files or moves or kernel)) or holder"


def test_the_written_pages_contract(tmp_path) -> None:
    out = os.path.join(tmp_path, "result")
    run = f"python3 -m pytest -q -p no:cacheprovider tests/contract/written_pages -k '{CHOSEN}'"
    status = in_vm(run, out)
    assert status == 0, said(out) + said(out, "stderr")
    assert " passed" in said(out)
    assert "skipped" not in said(out)
