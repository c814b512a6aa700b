"""Three hosts whose limosa is another program in front of it, with a server on the first."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.e2e.clients import prepare
from tests.e2e.several_hosts import LimosaHost, Segment, segment
from tests.e2e.test_migrate import run_server


@contextmanager
def staged(python_rootfs: str, kind: str, run: Callable[[LimosaHost], None] = run_server) -> Iterator[Segment]:
    """Give them for a `with` block: their limosa is KIND_limosa.py, which finds in LIMOSA_… where `fault` is said.

    `run` starts the container `web` on the first.
    """
    program = os.path.abspath(f"tests/fault/migration/{kind}_limosa.py")
    command = f"/var/tmp/limosat-{kind}-{os.getpid()}"
    with open(command, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nPYTHONPATH={os.getcwd()} exec {sys.executable} {program} "$@"\n')
    os.chmod(command, 0o755)
    told = f"{command}.told"
    try:
        with segment("abc", f"LIMOSA_{kind.upper()}={told}", command) as found:
            found.fault = told
            prepare(found, python_rootfs)
            run(found.a)
            yield found
    finally:
        for name in os.listdir("/var/tmp"):
            if name.startswith(os.path.basename(command)):
                os.unlink(f"/var/tmp/{name}")
