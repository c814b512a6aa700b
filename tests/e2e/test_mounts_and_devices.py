"""Volumes, binds, devices, disks and limits of containers, as real programs see them."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]
pytestmark = pytest.mark.privileged
QUIET = ("run", "--rm", "--network", "none")


@pytest.fixture
def outside() -> object:
    """A directory of the host on its own disk, not on a tmpfs."""
    import shutil
    import tempfile

    path = tempfile.mkdtemp(prefix="limosat-bind-", dir="/var/tmp")
    os.chmod(path, 0o755)
    yield Path(path)
    shutil.rmtree(path)


def test_two_containers_with_other_ids_share_one_volume(box: Limosa) -> None:
    assert box("volume", "create", "-l", "team=a", "--commit", "exclude", "data") == "data\n"
    for name in ("one", "two"):
        box("run", "-d", "--name", name, "--network", "none", "-v", "data:/data", "pg", "sleep", "1000")
    maps = {box("exec", name, "cat", "/proc/self/uid_map").split()[1] for name in ("one", "two")}
    assert len(maps) == 2, "the containers' users are others on the host"
    box("exec", "one", "sh", "-c", "echo hello >/data/file; chown postgres /data/file; echo mine >/data/root")
    assert box("exec", "two", "stat", "-c", "%U %a", "/data/file").strip() == "postgres 644"
    box("exec", "-u", "postgres", "two", "sh", "-c", "echo again >>/data/file")
    assert box("exec", "one", "cat", "/data/file") == "hello\nagain\n"
    box("exec", "-u", "postgres", "two", "sh", "-c", "echo no >>/data/root", status=2)

    (listed,) = json.loads(box("volume", "ls", "--json"))
    assert listed["containers"] == ["one", "two"]
    assert (listed["policy"], listed["labels"]) == ("exclude", [["team", "a"]])
    refused = box("volume", "rm", "data", status=1)
    assert "LIM-VOL-003" in refused
    assert "one, two" in refused
    box("rm", "--force", "one", "two")
    assert box(*QUIET, "-v", "data:/data:ro", "pg", "cat", "/data/file") == "hello\nagain\n"
    box(*QUIET, "-v", "data:/data:ro", "pg", "touch", "/data/new", status=1)
    box("volume", "rm", "data")
    assert json.loads(box("volume", "ls", "--json")) == []
    assert "LIM-VOL-002" in box("volume", "rm", "data", status=1)


def test_a_new_volume_begins_with_what_the_image_has_there(box: Limosa) -> None:
    seen = box(
        *QUIET, "-v", "pgdata:/var/lib/postgresql", "pg", "stat", "-c", "%U %a %n", "/var/lib/postgresql/15/main"
    )
    assert seen == "postgres 700 /var/lib/postgresql/15/main\n"
    box(*QUIET, "-u", "postgres", "-v", "pgdata:/var/lib/postgresql", "pg", "touch", "/var/lib/postgresql/15/marker")
    box(*QUIET, "-v", "pgdata:/var/lib/postgresql", "pg", "rm", "-r", "/var/lib/postgresql/15/main")
    left = box(*QUIET, "-v", "pgdata:/var/lib/postgresql", "pg", "ls", "/var/lib/postgresql/15")
    assert left == "marker\n", "only the first container finds the image's files"


def test_postgresql_keeps_its_data_in_a_volume_across_containers(box: Limosa) -> None:
    postgres = "/usr/lib/postgresql/15/bin/postgres --single -D /var/lib/postgresql/15/main"
    config = "-c config_file=/etc/postgresql/15/main/postgresql.conf postgres"
    for sql, expected in (("create table t as select 42 as answer", ""), ("select * from t", "42")):
        said = box(
            *QUIET, "-i", "-u", "postgres", "-v", "db:/var/lib/postgresql", "pg", "sh", "-c", f"{postgres} {config}",
            stdin=sql + "\n",
        )  # fmt: skip
        assert expected in said


def test_a_bind_keeps_owners_as_the_host_has_them(box: Limosa, outside: Path) -> None:
    (outside / "of-1000").write_text("x", encoding="ascii")
    os.chown(outside / "of-1000", 1000, 1000)
    (outside / "of-90000").write_text("x", encoding="ascii")
    os.chown(outside / "of-90000", 90000, 90000)
    bind = f"{outside}:/host"
    said = box(*QUIET, "-v", bind, "pg", "sh", "-c", "cd /host; stat -c '%u %n' of-*; touch new; ls -ld . >/dev/null")
    assert said == "1000 of-1000\n65534 of-90000\n", "who has no number inside is nobody"
    assert (outside / "new").stat().st_uid == 0, "what root makes inside is the host root's"
    box(*QUIET, "-u", "1000", "-v", bind, "pg", "sh", "-c", "echo y >>/host/of-1000")
    assert (outside / "of-1000").read_text(encoding="ascii") == "xy\n"
    box(*QUIET, "-v", f"{bind}:ro", "pg", "touch", "/host/other", status=1)
    box(*QUIET, "-v", f"{outside}/of-1000:/etc/one:ro", "pg", "grep", "-q", "xy", "/etc/one")
    unmapped = box(*QUIET, "-v", f"{bind}:noidmap", "pg", "stat", "-c", "%u", "/host/new")
    assert unmapped.strip() == "65534"
    assert "LIM-VOL-004" in box(*QUIET, "-v", "/no/such/place:/x", "pg", "true", status=125)


def test_read_only_holds_for_what_is_mounted_below(box: Limosa, outside: Path) -> None:
    (outside / "below").mkdir()
    assert os.system(f"mount -t tmpfs none {outside}/below && touch {outside}/below/file") == 0
    try:
        assert box(*QUIET, "-v", f"{outside}:/host", "pg", "ls", "/host/below") == "file\n"
        box(*QUIET, "-v", f"{outside}:/host:ro", "pg", "touch", "/host/below/new", status=1)
    finally:
        os.system(f"umount {outside}/below")


def test_tun_and_fuse_are_opened_in_a_user_namespace(box: Limosa) -> None:
    opened = "import os; os.open('/dev/net/tun', os.O_RDWR); os.open('/dev/fuse', os.O_RDWR); print('both')"
    assert box(*QUIET, "--device", "tun", "--device", "/dev/fuse", "pg", "python3", "-c", opened) == "both\n"
    box(*QUIET, "-u", "postgres", "--device", "tun", "--device", "fuse", "pg", "python3", "-c", opened)
    made = "ip tuntap add dev tun7 mode tun && ip -brief link show tun7"
    assert box(*QUIET, "--device", "tun", "--cap-add", "NET_ADMIN", "pg", "sh", "-c", made).startswith("tun7")
    assert "Operation not permitted" in box(
        *QUIET, "--device", "tun", "pg", "sh", "-c", f"{made} 2>&1 || exit 3", status=3
    )
    box(*QUIET, "pg", "test", "-e", "/dev/net/tun", status=1)
    assert "LIM-CLI-002" in box("run", "--device", "sda", "pg", "true", status=2)


def test_a_disk_is_full_with_enospc_and_df_says_its_size(box: Limosa) -> None:
    fill = "df --output=size -B1M / | tail -1; dd if=/dev/zero of=/big bs=1M count=400 2>&1; stat -c %s /big"
    said = box(*QUIET, "--disk", "300m", "pg", "sh", "-c", fill)
    assert int(said.split()[0]) == 300
    assert "No space left on device" in said
    assert 200 << 20 < int(said.split()[-1]) < 300 << 20
    assert "LIM-STOR-005" in box(*QUIET, "--disk", "1m", "pg", "true", status=2)


def test_tmpfs_options_ulimits_and_shm_hold(box: Limosa) -> None:
    said = box(
        *QUIET, "--tmpfs", "/t:size=1m,mode=1777", "--ulimit", "nofile=100:200", "--ulimit", "core=0",
        "pg", "sh", "-c", "stat -c %a /t; df -k --output=size /t | tail -1; ulimit -Sn; ulimit -Hn; ulimit -c",
    )  # fmt: skip
    assert said.split() == ["1777", "1024", "100", "200", "0"]


def test_env_file_labels_and_seccomp(box: Limosa, outside: Path) -> None:
    (outside / "env").write_text("A=from file\nB=file\n", encoding="ascii")
    said = box(*QUIET, "--env-file", f"{outside}/env", "-e", "B=option", "pg", "sh", "-c", 'echo "$A, $B"')
    assert said == "from file, option\n"
    status = box(*QUIET, "--seccomp", "unconfined", "pg", "grep", "Seccomp:", "/proc/self/status")
    assert re.fullmatch(r"Seccomp:\s+0\n", status)
    (outside / "profile.json").write_text(
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
            }
        ),
        encoding="ascii",
    )
    refused = box(
        *QUIET,
        "--security-opt",
        f"seccomp={outside}/profile.json",
        "pg",
        "sh",
        "-c",
        "mkdir /x 2>&1 || exit 9",
        status=9,
    )
    assert "Operation not permitted" in refused
    assert "LIM-SEC-001" in box(*QUIET, "--seccomp", "/no/such/profile.json", "pg", "true", status=125)
    assert box.records() == {}, "failed attempts leave nothing"


def test_a_checkpoint_with_volume_bind_and_device_comes_back(box: Limosa, outside: Path) -> None:
    (outside / "file").write_text("bound", encoding="ascii")
    box(
        "run", "-d", "--name", "all", "--network", "none", "-v", "vol:/vol", "-v", f"{outside}:/host",
        "--device", "tun", "--disk", "300m", "pg", "sh", "-c",
        "exec 9>>/vol/log; while :; do echo x >&9; sleep 0.1; done",
    )  # fmt: skip
    commit = box("checkpoint", "--stop", "all").strip()
    box("restore", commit)
    before = int(box("exec", "all", "sh", "-c", "wc -l </vol/log"))
    assert box("exec", "all", "cat", "/host/file") == "bound"
    box("exec", "all", "python3", "-c", "import os; os.open('/dev/net/tun', os.O_RDWR)")
    box("exec", "all", "sh", "-c", f"while [ $(wc -l </vol/log) -le {before} ]; do sleep 0.1; done", timeout=20)


def test_a_container_on_the_hosts_network_comes_back_from_commits(box: Limosa) -> None:
    box("run", "-d", "--name", "near", "--network", "host", "pg", "sh", "-c", "while :; do echo x; sleep 0.1; done")
    interfaces = box("exec", "near", "ls", "/sys/class/net").split()
    assert "lo" in interfaces
    commit = box("checkpoint", "--stop", "near").strip()
    rules = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True)
    assert "CRIU" not in rules.stdout, "no lock stays in the host's rules"
    box("restore", commit)
    box("fork", "--name", "twin", commit)
    for name in ("near", "twin"):
        before = box("logs", name).count("x")
        assert box("exec", name, "ls", "/sys/class/net").split() == interfaces
        assert "sysfs /sys sysfs ro," in box("exec", name, "cat", "/proc/mounts")
        eventually(lambda name=name, before=before: box("logs", name).count("x") > before)  # type: ignore[misc]


def test_a_privileged_container_has_the_hosts_ids_and_what_its_root_may(box: Limosa, outside: Path) -> None:
    program = "cat /proc/self/uid_map; echo x >/vol/file; touch /host/new; test -c /dev/net/tun; "
    program += "grep CapEff /proc/self/status"
    mounts = ("-v", "data:/vol", "-v", f"{outside}:/host", "--device", "tun")
    said = box(*QUIET, "--privileged", *mounts, "pg", "sh", "-ec", program).split()
    assert said[:3] == ["0", "0", "4294967295"]
    with open("/proc/self/status", encoding="ascii") as file:
        assert f"CapBnd:\t{said[-1]}\n" in file.read()
    assert (outside / "new").stat().st_uid == 0
    assert box(*QUIET, "-v", "data:/vol", "pg", "stat", "-c", "%u", "/vol/file").strip() == "0", "the volume fits both"
