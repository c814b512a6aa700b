"""What a started program gets."""

import fcntl
import os

from limosa.linux import process

ENV = {"PATH": "/usr/bin:/bin"}


def test_a_started_program_has_only_the_descriptors_it_was_given() -> None:
    read_end, write_end = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    # As a library that knows nothing of close-on-exec, or whoever started this process, leaves them.
    strays = [fcntl.fcntl(null, fcntl.F_DUPFD, lowest) for lowest in (3, 57, 110, 111, 112)]
    try:
        # The descriptor of the listing itself is closed when the shell tests the names.
        argv = ["/bin/sh", "-c", "for one in /proc/$$/fd/*; do test ! -e $one || echo ${one##*/}; done"]
        files = [(null, 0), (write_end, 1), (write_end, 2), (null, 7), (strays[1], 57)]
        pid = process.spawn(argv, env=ENV, files=files)
        os.close(write_end)
        with os.fdopen(read_end, encoding="ascii") as told:
            found = {int(line) for line in told}
        assert process.wait(pid) == 0
        assert all(os.get_inheritable(stray) for stray in strays), "this process's own are as they were"
    finally:
        for descriptor in (*strays, null):
            os.close(descriptor)
    assert found == {0, 1, 2, 7, 57}
