"""Layers of strangers: what is right comes out right, what is wrong gets nowhere."""

import io
import os
import shutil
import stat
import struct
import subprocess
import tarfile
import tempfile

import pytest
from archives import entry, listing, tar_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from limosa.adapters.oci_images.tar_stream import ForwardStream, MalformedTar
from limosa.adapters.oci_images.unpacking import unpack
from limosa.linux import files

pytestmark = pytest.mark.privileged
OPAQUE = ("trusted.overlay.opaque", b"y")
# VFS_CAP_REVISION_2 with the effective bit, cap_net_raw permitted (linux/capability.h).
CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)


def unpacked(data: bytes, directory: str) -> str:
    os.mkdir(directory)
    unpack(ForwardStream(io.BytesIO(data)), directory)
    return directory


def pax(**attributes: bytes) -> dict[str, str]:
    return {
        f"SCHILY.xattr.{name.replace('__', '.')}": value.decode("utf-8", "surrogateescape")
        for name, value in attributes.items()
    }


def test_everything_a_tree_can_have_comes_out_as_gnu_tar_makes_it(tmp_path: object) -> None:
    source = f"{tmp_path}/source"
    os.makedirs(f"{source}/etc/deep/er")
    for name, data in (("etc/plain", b"x" * 70_000), ("etc/empty", b""), ("set-id", b"#!"), ("named\nodd", b"?")):
        with open(f"{source}/{name}", "wb") as file:
            file.write(data)
    os.chown(f"{source}/etc/plain", 33, 44)
    os.chown(f"{source}/set-id", 12, 34)
    os.chmod(f"{source}/set-id", 0o6751)
    os.setxattr(f"{source}/set-id", "security.capability", CAPABILITY)
    os.setxattr(f"{source}/etc/plain", "user.note", b"\0\xff binary")
    os.link(f"{source}/etc/plain", f"{source}/etc/deep/er/also-plain")
    os.symlink("/etc/plain", f"{source}/absolute")
    os.symlink("../../../../etc/shadow", f"{source}/etc/up")
    os.lchown(f"{source}/absolute", 5, 6)
    os.mkfifo(f"{source}/fifo", 0o622)
    os.mknod(f"{source}/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    os.mknod(f"{source}/disk", stat.S_IFBLK | 0o660, os.makedev(8, 0))
    os.mkdir(f"{source}/sticky")
    os.chmod(f"{source}/sticky", 0o1777)
    with open(f"{source}/sparse", "wb") as file:
        file.seek(3 << 20)
        file.write(b"middle")
        file.truncate(8 << 20)
    for path in ("etc/deep/er", "etc/deep", "etc", "sticky", "etc/plain"):
        os.utime(f"{source}/{path}", (1_000_000_000, 1_000_000_000))
    archive = f"{tmp_path}/tree.tar"
    for options in (["--format=pax"], ["--format=gnu"], ["--format=pax", "--sparse"], ["--format=gnu", "--sparse"]):
        attributes = ["--xattrs", "--xattrs-include=*"] if "--format=pax" in options else []
        subprocess.run(["tar", "-C", source, *options, *attributes, "-cf", archive, "."], check=True)
        by_tar = f"{tmp_path}/by-tar"
        os.mkdir(by_tar)
        subprocess.run(["tar", "-C", by_tar, "-p", "--numeric-owner", *attributes, "-xf", archive], check=True)
        with open(archive, "rb") as file:
            ours = f"{tmp_path}/ours"
            os.mkdir(ours)
            unpack(ForwardStream(file), ours)
        assert listing(ours) == listing(by_tar), options
        for name in ("etc/plain", "sparse"):
            with open(f"{ours}/{name}", "rb") as mine, open(f"{source}/{name}", "rb") as original:
                assert mine.read() == original.read(), (options, name)
        if "--sparse" in options:
            assert os.stat(f"{ours}/sparse").st_blocks * 512 < 1 << 20
        shutil.rmtree(by_tar)
        shutil.rmtree(ours)


def test_whiteouts_take_the_form_of_overlayfs_and_the_kernel_agrees(tmp_path: object) -> None:
    lower = unpacked(
        tar_of(
            [
                entry("gone", data=b"1"),
                entry("kept", data=b"1"),
                entry("opaque", tarfile.DIRTYPE),
                entry("opaque/hidden", data=b"1"),
                entry("renewed", tarfile.DIRTYPE),
                entry("renewed/old", data=b"1"),
                entry("tree", tarfile.DIRTYPE),
                entry("tree/a", data=b"1"),
            ]
        ),
        f"{tmp_path}/lower",
    )
    upper = unpacked(
        tar_of(
            [
                entry(".wh.gone"),
                entry("opaque", tarfile.DIRTYPE),
                entry("opaque/.wh..wh..opq"),
                entry("opaque/new", data=b"2"),
                entry(".wh.renewed"),
                entry("renewed", tarfile.DIRTYPE),
                entry("renewed/new", data=b"2"),
                entry("tree/.wh.a"),
                entry(".wh..wh.plnk", tarfile.DIRTYPE),
                entry(".wh..wh.aufs"),
            ]
        ),
        f"{tmp_path}/upper",
    )
    assert OPAQUE in listing(upper)["opaque"][6]
    merged = f"{tmp_path}/merged"
    os.mkdir(merged)
    subprocess.run(["mount", "-t", "overlay", "-o", f"ro,lowerdir={upper}:{lower}", "overlay", merged], check=True)
    try:
        assert set(listing(merged)) == {"kept", "opaque", "opaque/new", "renewed", "renewed/new", "tree"}
    finally:
        subprocess.run(["umount", merged], check=True)


def test_a_whiteout_after_the_directory_that_it_replaces_hides_what_is_below(tmp_path: object) -> None:
    upper = unpacked(tar_of([entry("d/new", data=b"2"), entry(".wh.d")]), f"{tmp_path}/upper")
    assert OPAQUE in listing(upper)["d"][6]
    assert os.path.exists(f"{upper}/d/new")


@pytest.mark.parametrize(
    "members",
    [
        [entry("../outside", data=b"x")],
        [entry("a/../../outside", data=b"x")],
        [entry("link", tarfile.SYMTYPE, linkname=".."), entry("link/../../outside", data=b"x")],
        [entry("hard", tarfile.LNKTYPE, linkname="../secret")],
        [entry("hard", tarfile.LNKTYPE, linkname="missing")],
        [entry("up", tarfile.SYMTYPE, linkname="../.."), entry("hard", tarfile.LNKTYPE, linkname="up/secret")],
        [entry("hard", tarfile.LNKTYPE, linkname="/")],
        [entry(".wh...")],
        [entry(".wh.")],
        [entry("odd", b"Q")],
        [entry("loop", tarfile.SYMTYPE, linkname="loop"), entry("loop/x", data=b"x")],
        [entry("file", data=b"x"), entry("file/below", data=b"x")],
        [entry("nul", pax_headers={"path": "a\0b"}, data=b"x")],
        [entry("x" * 300, data=b"x")],
    ],
)
def test_an_archive_that_means_harm_is_refused(members: list[tuple[tarfile.TarInfo, bytes]], tmp_path: object) -> None:
    with open(f"{tmp_path}/secret", "w", encoding="ascii") as file:
        file.write("secret")
    with pytest.raises(MalformedTar):
        unpacked(tar_of(members), f"{tmp_path}/layer")
    assert sorted(os.listdir(str(tmp_path))) == ["layer", "secret"]
    assert os.stat(f"{tmp_path}/secret").st_nlink == 1


def test_links_are_followed_as_if_the_layer_were_the_whole_world(tmp_path: object) -> None:
    layer = unpacked(
        tar_of(
            [
                entry("etc", tarfile.SYMTYPE, linkname="/../../../real"),
                entry("etc/passwd", data=b"inner"),
                entry("lib", tarfile.SYMTYPE, linkname="usr/lib"),
                entry("lib/x/y", data=b"inner"),
                entry("/absolute", data=b"inner"),
                entry("hard", tarfile.LNKTYPE, linkname="/lib/x/y"),
            ]
        ),
        f"{tmp_path}/layer",
    )
    found = listing(layer)
    assert set(found) == {
        "etc",
        "real",
        "real/passwd",
        "lib",
        "usr",
        "usr/lib",
        "usr/lib/x",
        "usr/lib/x/y",
        "absolute",
        "hard",
    }
    assert sorted(os.listdir(str(tmp_path))) == ["layer"]


def test_a_later_member_takes_an_earlier_ones_place(tmp_path: object) -> None:
    layer = unpacked(
        tar_of(
            [
                entry("a", tarfile.SYMTYPE, linkname="/etc/passwd"),
                entry("a", data=b"file"),
                entry("b", tarfile.DIRTYPE),
                entry("b/below", data=b"1"),
                entry("b", data=b"file"),
                entry("c", data=b"1"),
                entry("c", tarfile.DIRTYPE),
                entry("c/below", data=b"1"),
                entry("c", tarfile.DIRTYPE, mode=0o700),
                entry("self", data=b"1"),
                entry("self", tarfile.LNKTYPE, linkname="self"),
            ]
        ),
        f"{tmp_path}/layer",
    )
    found = listing(layer)
    assert set(found) == {"a", "b", "c", "c/below", "self"}
    assert found["c"][0] == "drwx------"
    assert found["a"][0] == found["b"][0] == "-rw-r--r--"


def test_attributes_of_overlayfs_and_of_the_host_are_not_taken(tmp_path: object) -> None:
    attributes = pax(
        trusted__overlay__redirect=b"/etc", trusted__overlay__opaque=b"y", user__overlay__opaque=b"y", user__mine=b"1"
    )
    member = entry("d", tarfile.DIRTYPE, pax_headers=attributes)
    layer = unpacked(tar_of([member]), f"{tmp_path}/layer")
    assert listing(layer)["d"][6] == (("user.mine", b"1"),)


def test_a_tree_deeper_than_a_path_is_removed(tmp_path: object) -> None:
    deep = "/".join("d" * 200 for _ in range(19))
    members = [entry(deep, tarfile.DIRTYPE)]
    for number in range(6):
        members += [
            entry(f"s{number}", tarfile.SYMTYPE, linkname=f"s{number - 1}/{deep}" if number else deep),
            entry(f"s{number}/x", data=b"x"),
        ]
    try:
        layer = unpacked(tar_of(members), f"{tmp_path}/layer")
    except MalformedTar:
        layer = f"{tmp_path}/layer"
    files.remove_tree(layer)
    assert not os.path.exists(layer)


NAMES = st.lists(
    st.sampled_from(["a", "b", "c", "..", ".", "", ".wh.a", ".wh..wh..opq", "é\udcff"]), min_size=1, max_size=4
).map("/".join)
TYPES = st.sampled_from(
    [tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, b"S", b"V"]
)


@st.composite
def hostile(draw: st.DrawFn) -> tuple[tarfile.TarInfo, bytes]:
    kind = draw(TYPES)
    data = draw(st.binary(max_size=40)) if kind == tarfile.REGTYPE else b""
    return entry(
        draw(NAMES),
        kind,
        data,
        linkname=draw(st.one_of(NAMES, NAMES.map(lambda name: "/" + name), st.just("../../victim"))),
        mode=draw(st.integers(0, 0o7777)),
        uid=draw(st.sampled_from([0, 1000, 65535, 1 << 31])),
        devmajor=draw(st.sampled_from([0, 1, 8])),
        mtime=draw(st.sampled_from([0, 1, -1, 1 << 40])),
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(hostile(), max_size=8))
def test_no_archive_leads_out_of_its_directory(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with tempfile.TemporaryDirectory(prefix="limosat-", dir="/var/tmp") as place:
        os.mkdir(f"{place}/victim")
        with open(f"{place}/victim/file", "w", encoding="ascii") as file:
            file.write("whole")
        os.chmod(f"{place}/victim/file", 0o600)
        before = listing(place)
        try:
            unpacked(tar_of(members), f"{place}/layer")
        except MalformedTar:
            pass
        files.remove_tree(f"{place}/layer")
        assert listing(place) == before


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 5000), st.integers(0, 255), st.integers(0, 5120))
def test_a_damaged_archive_is_an_error_or_harmless(position: int, value: int, length: int) -> None:
    good = tar_of(
        [
            entry("a", tarfile.DIRTYPE),
            entry("a/file", data=b"x" * 1500),
            entry("a/link", tarfile.SYMTYPE, linkname="file"),
        ]
    )
    damaged = bytearray(good)
    damaged[position % len(good)] = value
    with tempfile.TemporaryDirectory(prefix="limosat-", dir="/var/tmp") as place:
        try:
            unpacked(bytes(damaged[: len(good) - length]), f"{place}/layer")
        except MalformedTar:
            pass
        files.remove_tree(f"{place}/layer")
        assert os.listdir(place) == []
