"""Which init is which, and what each needs."""

import re

from limosa.model import init
from limosa.model.ids import ContainerId


def test_inits_are_told_apart_by_what_they_are_not_by_their_name() -> None:
    systemd = init.recognized("/sbin/init", "/usr/lib/systemd/systemd", b"")
    assert (systemd.family, systemd.argv, systemd.poweroff_signal) == ("systemd", ("/sbin/init",), "SIGRTMIN+3")
    linked = init.recognized("/sbin/init", "/bin/busybox", b"")
    copied = init.recognized("/sbin/init", "/sbin/init", b"\x7fELF... BusyBox v1.35.0 (Debian) ...")
    assert linked == copied == init.Init("busybox", ("/sbin/init",), "SIGUSR2")
    assert init.recognized("/bin/busybox", "/bin/busybox", b"").argv == ("/bin/busybox", "init")
    sysvinit = init.recognized("/sbin/init", "/sbin/init", b"\x7fELF... /run/initctl ...")
    assert (sysvinit.family, sysvinit.poweroff_signal) == ("sysvinit", "")
    assert sysvinit.poweroff_command == ("/sbin/init", "0")
    assert init.recognized("/my-init", "/my-init", b"#!/bin/sh").poweroff_signal == "SIGTERM"


def test_a_machine_uuid_is_a_uuid_and_differs_between_containers() -> None:
    first = init.machine_uuid(ContainerId("0123456789abcdef01234567"))
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}", first)
    assert first != init.machine_uuid(ContainerId("0123456789abcdef01234568"))


def test_every_run_file_lies_below_run_in_a_directory_that_is_made_before() -> None:
    files = init.run_files("systemd", terminal=False)
    directories = init.directories_of(files)
    assert files
    assert directories[0] == "systemd"
    for file in files:
        assert not file.path.startswith("/")
        assert ".." not in file.path.split("/")
        assert file.path.rpartition("/")[0] in directories
    for index, directory in enumerate(directories):
        above = directory.rpartition("/")[0]
        assert not above or above in directories[:index]
    assert init.run_files("busybox", terminal=True) == ()
