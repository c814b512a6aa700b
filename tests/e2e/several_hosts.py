"""Several limosa hosts on one machine: each has a network and a mount namespace, a root, a tmpfs on /run and an sshd.

They are on one segment, a bridge of the test's own network namespace: 10.77.0.1 and up, names a, b, c.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.imported import LIMOSA
from tests.limosa_command import Limosa

SEGMENT = "10.77.0.0/24"
SSHD = """\
Port 22
ListenAddress {address}
HostKey {place}/host_key
PidFile {place}/sshd.pid
AuthorizedKeysFile {place}/user_key.pub
StrictModes no
UsePAM no
PermitRootLogin yes
PasswordAuthentication no
MaxStartups 100
UseDNS no
SetEnv LIMOSA_ROOT={root} PATH={path} {env}
"""
SSH = """\
Host *
  User root
  IdentityFile {place}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {place}/known_hosts
  StrictHostKeyChecking accept-new
  BatchMode yes
  ConnectTimeout 5
"""


class LimosaHost(Limosa):
    """One of them. Calling it runs a command of limosa there; `do` runs any."""

    def __init__(self, name: str, address: str, place: str, env: str, command: str) -> None:
        """`env` is VARIABLE=VALUE … for every limosa there, `command` what limosa is."""
        self.name, self.address, self.place = name, address, place
        self._env, self._command = env, command
        os.mkdir(f"{place}/root", 0o711)
        holder = ["unshare", "--mount", "--net", "--propagation", "private", "sleep", "infinity"]
        self._holder = subprocess.Popen(holder)
        self._wait_for_namespaces()
        self._enter = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", f"--net=/proc/{self._holder.pid}/ns/net")
        super().__init__(f"{place}/root", (*self._enter, "env", f"PATH={self._path()}", *env.split()))
        self._sshd: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """A process that is in its namespaces."""
        return self._holder.pid

    def _path(self) -> str:
        return f"{self.place}/bin:{os.environ['PATH']}"

    def _wait_for_namespaces(self) -> None:
        own = os.readlink("/proc/self/ns/net")
        for _ in range(500):
            with contextlib.suppress(OSError):
                if os.readlink(f"/proc/{self._holder.pid}/ns/net") != own:
                    return
            time.sleep(0.01)
        raise AssertionError("the host did not come up")

    def do(self, *argv: str, status: int = 0, timeout: float = 60) -> str:
        """Run a program on this host."""
        done = subprocess.run(
            [*self.prefix, *argv],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        assert done.returncode == status, f"{argv}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def begin(self, number: int, bridge: str) -> None:
        """Join the segment and let sshd listen."""
        holder = str(self._holder.pid)
        outer, inner = f"seg{self.name}", "uplink"
        subprocess.run(["ip", "link", "add", outer, "type", "veth", "peer", inner, "netns", holder], check=True)
        subprocess.run(["ip", "link", "set", outer, "up", "master", bridge], check=True)
        self.do("ip", "link", "set", "lo", "up")
        self.do("ip", "address", "add", f"{self.address}/24", "dev", inner)
        self.do("ip", "link", "set", inner, "address", f"02:77:00:00:00:{number:02x}", "up")
        self.do("mount", "-t", "tmpfs", "tmpfs", "/run")
        self.do("mkdir", "-p", "/run/sshd")
        # ssh looks for the user's configuration in the home directory that /etc/passwd names.
        home = os.path.expanduser("~root")
        self.do("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={self.place}/home:{home}", home)
        os.symlink(self._command, f"{self.place}/bin/limosa")
        with open(f"{self.place}/sshd_config", "w", encoding="utf-8") as file:
            text = SSHD.format(address=self.address, place=self.place, root=self.root, path=self._path(), env=self._env)
            file.write(text)
        self.listen()

    def listen(self) -> None:
        """Start sshd."""
        with open(f"{self.place}/sshd.log", "ab") as log:
            argv = [*self._enter, "/usr/sbin/sshd", "-D", "-e", "-f", f"{self.place}/sshd_config"]
            self._sshd = subprocess.Popen(argv, stderr=log, stdin=subprocess.DEVNULL)
        for _ in range(500):
            if f"{self.address}:22" in self.do("ss", "-ltnH"):
                return
            time.sleep(0.01)
        raise AssertionError("sshd does not listen")

    def cut(self) -> None:
        """Unplug the host."""
        subprocess.run(["ip", "link", "set", f"seg{self.name}", "down"], check=True)

    def heal(self) -> None:
        """Plug it in again."""
        subprocess.run(["ip", "link", "set", f"seg{self.name}", "up"], check=True)

    def clear(self) -> None:
        """Remove containers and volumes, and end migrations, that a test which failed has left."""
        if self.records():
            self("recover")
            self("rm", "--force", *self.records())
        volumes = self("volume", "ls", "-q").split()
        if volumes:
            self("volume", "rm", *volumes)

    def close(self) -> None:
        """Take away all that is there."""
        try:
            self.clear()
            for network in self("network", "ls", "-q").split():
                if network != "default":
                    self("network", "rm", network)
            self("recover")
        finally:
            for process in (self._sshd, self._holder):
                if process is not None:
                    process.kill()
                    process.wait()


class Segment:
    """The hosts, by name, and the bridge that they are on."""

    def __init__(self, hosts: dict[str, LimosaHost]) -> None:
        self.hosts = hosts
        self.rootfs = ""  # of the image that they have, for tests that need it once more
        self.fault = ""  # a file that says what is to break: tests/fault/migration

    def __getattr__(self, name: str) -> LimosaHost:
        try:
            return self.__dict__["hosts"][name]
        except KeyError:
            raise AttributeError(name) from None


def _routed(bridges: dict[str, str]) -> "subprocess.Popen[bytes]":
    """Join segments by a namespace that forwards between them, at .254 of each; return the process that holds it."""
    router = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    own, there = os.readlink("/proc/self/ns/net"), f"/proc/{router.pid}/ns/net"
    for _ in range(500):
        if os.readlink(there) != own:
            break
        time.sleep(0.01)
    inside = ("nsenter", f"--net={there}")
    for bridge, network in bridges.items():
        outer, inner = f"rt{bridge}", f"to{bridge}"
        subprocess.run(
            ["ip", "link", "add", outer, "type", "veth", "peer", inner, "netns", str(router.pid)], check=True
        )
        subprocess.run(["ip", "link", "set", outer, "up", "master", bridge], check=True)
        subprocess.run([*inside, "ip", "address", "add", f"{network}.254/24", "dev", inner], check=True)
        subprocess.run([*inside, "ip", "link", "set", inner, "up"], check=True)
    subprocess.run([*inside, "sysctl", "-qw", "net.ipv4.ip_forward=1"], check=True)
    return router


@contextmanager
def segment(names: str = "abc", env: str = "", command: str = LIMOSA, far: str = "") -> Iterator[Segment]:
    """Make hosts, each of which may log in at each other as root without a question.

    Those named by `far` are on another segment, 10.78.0.0/24, and a router is between both.
    """
    place = tempfile.mkdtemp(prefix="limosat-", dir="/var/tmp")
    os.chmod(place, 0o711)
    bridges = {"segment": "10.77.0", **({"segment2": "10.78.0"} if far else {})}
    for bridge in bridges:
        subprocess.run(["ip", "link", "add", bridge, "up", "type", "bridge"], check=True)
    hosts: dict[str, LimosaHost] = {}
    router = _routed(bridges) if far else None
    try:
        for key in ("user_key", "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{place}/{key}"], check=True)
        for number, name in enumerate(names, 1):
            own = f"{place}/{name}"
            os.makedirs(f"{own}/home/.ssh", 0o700)
            os.makedirs(f"{own}/bin")
            for key in ("user_key", "user_key.pub", "host_key"):
                shutil.copy(f"{place}/{key}", f"{own}/{key}")
            with open(f"{own}/home/.ssh/config", "w", encoding="utf-8") as file:
                file.write(SSH.format(place=own))
            bridge = "segment2" if name in far else "segment"
            address = f"{bridges[bridge]}.{number}"
            hosts[name] = LimosaHost(name, address, own, env.format(name=name), command)
            hosts[name].begin(number, bridge)
            if far:
                hosts[name].do("ip", "route", "add", "default", "via", f"{bridges[bridge]}.254")
        yield Segment(hosts)
    finally:
        failures = []
        for host in hosts.values():
            try:
                host.close()
            except Exception as failed:  # the others are to be closed, too
                failures.append(failed)
        if router is not None:
            router.kill()
            router.wait()
        for bridge in bridges:
            subprocess.run(["ip", "link", "delete", bridge], check=True)
        shutil.rmtree(place)
        if failures and sys.exc_info()[0] is None:
            raise failures[0]
