#!/usr/bin/env python3
"""A virtual machine with a distribution kernel: Debian 13, cgroup v2, soft-dirty, in QEMU's software emulation.

    tools/vm.py build                     make the cached image (two minutes, 190 MB of packages) and print where it is
    tools/vm.py run [--file PATH]… -- COMMAND
                                          boot, run COMMAND by sh in a copy of this checkout, print what it printed

The status of `run` is COMMAND's, or 125 if the machine did not come to its end.  COMMAND finds the checkout in the
current directory, `limosa` on the PATH, and the files given with --file in ./files; what it puts into ./out comes back
to --out.
The guest has no network.  Files go in and come out as tar archives on raw disks: no shared folder, no ssh.
"""

import argparse
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from typing import IO

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = f"{HERE}/src/limosa/adapters/toolchain/apt-packages.txt"
SUITE = "trixie"
GUEST_PACKAGES = ["systemd", "systemd-sysv", "dbus", "udev", "python3", "python3-pytest", "python3-pytest-timeout"]
GUEST_PACKAGES += ["python3-hypothesis", "criu", "crun", "gcc", "libc6-dev", "docker-registry", "redis-server"]
DISK_BYTES = 4 << 30
OUT_BYTES = 256 << 20
LOST = 125
ATTEMPTS = 3
# What the monitor starts when a container has ended knows no PYTHONPATH; tests start the command of the checkout.
PREPARED = """\
printf '/srv/limosa/src\\n/srv/limosa/site\\n' >/usr/lib/python3/dist-packages/limosa.pth
mkdir -p .venv/bin
ln -s ../../bin/limosa .venv/bin/limosa"""
GUEST_PYTHON = "3.13"

UNIT = """[Unit]
Description=the command of tools/vm.py
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/limosa-vm
StandardOutput=journal+console
TimeoutStartSec=infinity
Delegate=yes
"""
# Runs in the guest. The command's output goes to the console as it comes, and to the archive.
GUEST_SCRIPT = """#!/bin/sh
udevadm settle
mkdir -p /srv/limosa/out /srv/result
tar -xf /dev/disk/by-id/virtio-limosa-in -C /srv/limosa
cd /srv/limosa
export PATH=/srv/limosa/bin:$PATH HOME=/root LC_ALL=C.UTF-8 PYTHONPATH=/srv/limosa/src
sh ./command >/srv/result/stdout 2>/srv/result/stderr </dev/null
echo $? >/srv/result/status
cp -a out /srv/result/out
journalctl --no-pager -b -o short-monotonic >/srv/result/journal
tar -cf /dev/disk/by-id/virtio-limosa-out -C /srv/result .
sync
poweroff --force --force
"""
GUEST_FILES = (
    ("etc/systemd/system/limosa-vm.service", UNIT, 0o644),
    ("usr/local/sbin/limosa-vm", GUEST_SCRIPT, 0o755),
    ("etc/hostname", "limosa-vm\n", 0o644),
    ("etc/hosts", "127.0.0.1 localhost limosa-vm\n", 0o644),
    ("etc/fstab", "", 0o644),
)


def cache_dir() -> str:
    """Return the directory of the image that fits what is in it, whether it is there or not."""
    inputs = repr((packages("run"), GUEST_PACKAGES, SUITE, DISK_BYTES, GUEST_FILES))
    key = hashlib.sha256(inputs.encode()).hexdigest()[:16]
    base = os.environ.get("XDG_CACHE_HOME") or "/var/cache"
    return f"{base}/limosa-vm/{key}"


def packages(group: str) -> list[str]:
    """Return the packages of a group of the list that `limosa setup` uses."""
    with open(PACKAGES, encoding="utf-8") as file:
        return [line.split()[1] for line in file if line.split()[:1] == [group]]


def build() -> str:
    """Return the image's directory, made if it is not there; nothing of a failed attempt stays."""
    final = cache_dir()
    if os.path.isdir(final):
        return final
    install_host_packages()
    os.makedirs(os.path.dirname(final), exist_ok=True)
    making = tempfile.mkdtemp(prefix=".making-", dir=os.path.dirname(final))
    try:
        tree = f"{making}/tree"
        make_tree(tree)
        place_kernel(tree, f"{making}/vmlinuz")
        place_guest_files(tree)
        with open(f"{making}/root.img", "wb") as image:
            image.truncate(DISK_BYTES)
        subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", tree, f"{making}/root.img"], check=True)
        shutil.rmtree(tree)
        os.chmod(making, 0o755)
        if not os.path.isdir(final):  # another run may have made it meanwhile
            os.rename(making, final)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return final


def install_host_packages() -> None:
    """Install QEMU and what makes the disk."""
    if not (shutil.which("qemu-system-x86_64") and shutil.which("mke2fs")):
        env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages("vm")]
        subprocess.run(["apt-get", "update", "-q"], check=True, env=env, stdout=subprocess.DEVNULL)
        subprocess.run(install, check=True, env=env, stdout=subprocess.DEVNULL)


def make_tree(tree: str) -> None:
    """Make the guest's files; the kernel's package is only fetched, since its scripts would make an initrd."""
    fetch_kernel = (
        "cd /root; apt-get download -q "
        "$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \\(linux-image\\)/\\1/p' | head -n 1)"
    )
    command = ["mmdebstrap", "--quiet", "--variant=minbase", '--aptopt=APT::Install-Recommends "false"']
    command += [f"--include={','.join(packages('run') + GUEST_PACKAGES)}"]
    command += [f'--customize-hook=chroot "$1" sh -ec "{fetch_kernel.replace("$", chr(92) + "$")}"', SUITE, tree]
    subprocess.run(command, check=True)


def place_kernel(tree: str, vmlinuz: str) -> None:
    """Unpack the kernel and its modules into the tree, and its image beside the disk."""
    (deb,) = (name for name in os.listdir(f"{tree}/root") if name.startswith("linux-image-"))
    with tempfile.TemporaryDirectory() as unpacked:
        subprocess.run(["dpkg-deb", "--extract", f"{tree}/root/{deb}", unpacked], check=True)
        (image,) = (name for name in os.listdir(f"{unpacked}/boot") if name.startswith("vmlinuz-"))
        shutil.copyfile(f"{unpacked}/boot/{image}", vmlinuz)
        modules = "usr/lib/modules" if os.path.isdir(f"{unpacked}/usr/lib/modules") else "lib/modules"
        subprocess.run(["cp", "-a", f"{unpacked}/{modules}", f"{tree}/usr/lib/"], check=True)
    subprocess.run(["chroot", tree, "depmod", image.removeprefix("vmlinuz-")], check=True)
    os.unlink(f"{tree}/root/{deb}")


def place_guest_files(tree: str) -> None:
    """Write the unit that runs the command, and the script that it runs."""
    for path, text, mode in GUEST_FILES:
        with open(f"{tree}/{path}", "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(f"{tree}/{path}", mode)
    wants = f"{tree}/etc/systemd/system/default.target.wants"
    os.makedirs(wants, exist_ok=True)
    os.symlink("/etc/systemd/system/limosa-vm.service", f"{wants}/limosa-vm.service")


def pack(target: str, command: str, files: list[str]) -> None:
    """Write the archive that the guest reads: the checkout's files, the command, and `files`."""
    listed = subprocess.run(
        ["git", "-C", HERE, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    ).stdout.split(b"\0")
    with tarfile.open(target, "w") as archive, tempfile.TemporaryDirectory() as made:
        for name in sorted(os.fsdecode(name) for name in listed if name):
            if os.path.lexists(f"{HERE}/{name}"):
                archive.add(f"{HERE}/{name}", name, recursive=False)
        for name, text, mode in (
            ("command", f"{PREPARED}\n{command}\n", 0o644),
            ("bin/limosa", '#!/bin/sh\nexec python3 -m limosa "$@"\n', 0o755),
        ):
            path = f"{made}/{os.path.basename(name)}"
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, mode)
            archive.add(path, name)
        place_dependencies(f"{made}/site")
        archive.add(f"{made}/site", "site")
        for path in files:
            archive.add(path, f"files/{os.path.basename(path)}")
    with open(target, "ab") as file:  # a disk is made of whole sectors
        file.truncate((file.tell() + 0xFFFFF) & ~0xFFFFF)


def place_dependencies(target: str) -> None:
    """Unpack what limosa imports, as uv.lock says, for the guest's Python."""
    uv = shutil.which("uv") or f"{HERE}/.venv-uv/bin/uv"
    export = [uv, "export", "-q", "--frozen", "--no-dev", "--no-emit-project", "--no-hashes", "--no-header"]
    lines = subprocess.run(export, check=True, capture_output=True, text=True, cwd=HERE).stdout.splitlines()
    wanted = [line.split(";")[0].strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    install = [uv, "pip", "install", "-q", "--target", target, "--python-version", GUEST_PYTHON, "--no-deps"]
    install += ["--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:"]
    subprocess.run([*install, *wanted], check=True, cwd=HERE)


def qemu(image: str, work: str, memory_mib: int) -> list[str]:
    """Return the emulator's command line. The root disk is NVMe, whose driver is built in, so no initrd is needed."""
    argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"]
    argv += ["-m", str(memory_mib), "-nographic", "-no-reboot", "-nic", "none", "-serial", f"file:{work}/console"]
    argv += ["-monitor", "none", "-kernel", f"{image}/vmlinuz"]
    argv += ["-append", "root=/dev/nvme0n1 rw console=ttyS0 quiet mitigations=off systemd.show_status=0 panic=-1"]
    argv += [
        "-drive",
        f"id=root,if=none,format=raw,snapshot=on,file={image}/root.img",
        "-device",
        "nvme,serial=r,drive=root",
    ]
    for name in ("in", "out"):
        argv += ["-drive", f"id={name},if=none,format=raw,file={work}/{name}.tar"]
        argv += ["-device", f"virtio-blk-pci,drive={name},serial=limosa-{name}"]
    return argv


def run(command: str, files: list[str], out: str | None, memory_mib: int, time_limit_s: float) -> int:
    """Boot, run `command`, pass its output on, and return its status or LOST."""
    image = build()
    with tempfile.TemporaryDirectory(prefix="limosa-vm-") as work:
        pack(f"{work}/in.tar", command, files)
        with open(f"{work}/out.tar", "wb") as file:
            file.truncate(OUT_BYTES)
        try:
            env = {**os.environ, "TMPDIR": work}  # what snapshot=on writes
            argv = qemu(image, work, memory_mib)
            for _ in range(ATTEMPTS):
                subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, timeout=time_limit_s, env=env)
                if not died_early(f"{work}/console"):
                    break
            with tarfile.open(f"{work}/out.tar") as archive:
                archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # not in Debian 12's Python
                archive.extractall(f"{work}/result")  # noqa: S202 - what our own machine wrote
            with open(f"{work}/result/status", encoding="ascii") as file:
                status = int(file.read())
        except (subprocess.SubprocessError, OSError, ValueError, tarfile.TarError) as failed:
            print(f"vm: the machine did not come to its end: {failed}; its console:", file=sys.stderr)
            copy(f"{work}/console", sys.stderr.buffer)
            return LOST
        copy(f"{work}/result/stdout", sys.stdout.buffer)
        copy(f"{work}/result/stderr", sys.stderr.buffer)
        if out:
            shutil.copytree(f"{work}/result", out, dirs_exist_ok=True, symlinks=True)
        return status


def died_early(console: str) -> bool:
    """Say whether the kernel panicked before it started the first process, let alone the command.

    Two emulated processors now and then execute an instruction of the kernel that one of them is just patching.
    """
    with open(console, encoding="utf-8", errors="replace") as file:
        text = file.read()
    return "Kernel panic" in text and "login:" not in text


def copy(path: str, target: IO[bytes]) -> None:
    """Write a file to a stream of this process; a file that is not there is empty."""
    if os.path.exists(path):
        with open(path, "rb") as file:
            shutil.copyfileobj(file, target)
    target.flush()


def main() -> int:
    """Parse the command line and do what it says."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # ends the machine too, and cleans up
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("build")
    runner = verbs.add_parser("run")
    runner.add_argument("--file", action="append", default=[], help="a file that the command finds in ./files")
    runner.add_argument("--out", help="a directory for ./out, stdout, stderr, status and journal")
    runner.add_argument("--memory", type=int, default=3072, help="MiB")
    runner.add_argument("--time-limit", type=float, default=1200, help="seconds")
    runner.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.verb == "build":
        print(build())
        return 0
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    return run(" ".join(words), arguments.file, arguments.out, arguments.memory, arguments.time_limit)


if __name__ == "__main__":
    sys.exit(main())
