"""What runs in the virtual machine: the matrix's walk of a whole Debian, on cgroup v2.

    python3 -m tests.vm.guest_matrix ROOTFS     ROOTFS is a tar of Debian with systemd

What it showed, or where it failed, is the program's line in ./out/compatibility.json.
"""

import shutil
import sys

from tests.e2e.conftest import Limosa
from tests.e2e.matrix import compatibility
from tests.e2e.matrix.driver import Walk
from tests.e2e.matrix.programs import SYSTEM

SLOWNESS = 10  # under emulation


def main(rootfs: str) -> None:
    host = Limosa("/var/tmp/limosa-matrix", patience_s=60 * SLOWNESS)
    host("image", "import", rootfs, "programs")
    try:
        with compatibility.recording(SYSTEM.what, write=True) as record:
            record(Walk(host, SYSTEM, "programs", SLOWNESS).gone())
    finally:
        shutil.copy(compatibility.RECORD, "out")


if __name__ == "__main__":
    main(sys.argv[1])
