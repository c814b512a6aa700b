"""Where hierarchies are, from the texts of /proc."""

from limosa.linux.cgroupfs import Hierarchy, parsed

HYBRID = """\
4:memory:/somebody/1
3:cpu,cpuacct:/
2:name=systemd:/
1:rdma:/
0::/
"""
HYBRID_MOUNTS = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""


def test_every_mounted_hierarchy_is_found_and_v2_is_last() -> None:
    assert parsed(HYBRID, HYBRID_MOUNTS) == (
        Hierarchy("memory", "/sys/fs/cgroup/memory", "/", "/somebody/1"),
        Hierarchy("cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/", "/"),
        Hierarchy("name=systemd", "/sys/fs/cgroup/systemd", "/", "/"),
        Hierarchy("unified", "/sys/fs/cgroup/unified", "/", "/"),
    )


def test_v2_alone_is_one_hierarchy_without_v1_controllers() -> None:
    mounts = "35 24 0:30 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n"
    (only,) = parsed("0::/user.slice/session-1.scope\n", mounts)
    assert only.unified
    assert only.controllers == ()
    assert only.directory("/limosa/1") == "/sys/fs/cgroup/limosa/1"
    assert only.directory("/") == "/sys/fs/cgroup"


def test_a_part_that_is_mounted_elsewhere_is_translated() -> None:
    mounts = "50 40 0:32 /docker/abc /a\\040place rw - cgroup cgroup rw,memory\n"
    (only,) = parsed("4:memory:/docker/abc\n0::/\n", mounts)
    assert only.directory("/docker/abc/limosa") == "/a place/limosa"


def test_nothing_is_mounted() -> None:
    assert parsed(HYBRID, "22 27 0:21 / /proc rw - proc proc rw\n") == ()
