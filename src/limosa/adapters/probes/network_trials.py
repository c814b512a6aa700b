"""Trials of the network, in the trial's own network namespace."""

import os
import signal

from limosa.linux import process
from limosa.ports.probes import MISSING, WORKS, Outcome

_RULES = b"""
table inet limosap {
  set published { type inet_service; elements = { 8080 }; }
  chain in { type nat hook prerouting priority dstnat; tcp dport @published dnat ip to 10.0.0.2:80; }
  chain out { type nat hook postrouting priority srcnat; ip saddr 10.0.0.0/24 masquerade; }
  chain between { type filter hook forward priority filter; ct state established accept; iifname "a" oifname "b" drop; }
}
"""


def nftables() -> Outcome:
    """Load a table with NAT, a set and connection tracking, list it, delete it."""
    finished = process.capture(["nft", "-f", "-"], stdin=_RULES)
    if finished.status != 0:
        return Outcome(MISSING, finished.stderr.decode(errors="replace").strip().split("\n")[0])
    listed = process.run(["nft", "list", "table", "inet", "limosap"])
    process.run(["nft", "delete", "table", "inet", "limosap"])
    if b"masquerade" not in listed or b"dnat" not in listed:
        return Outcome(MISSING, "the table that was loaded is not the one that is listed")
    version = process.run(["nft", "--version"]).decode().split()[1]
    return Outcome(WORKS, "loaded, listed and deleted a table with NAT, a set and connection tracking", version)


def veth() -> Outcome:
    """Join two network namespaces by a veth pair and a bridge, and see the carrier."""
    holder = process.spawn(["/usr/bin/unshare", "--net", "sleep", "60"], env={"PATH": os.environ.get("PATH", "/bin")})
    try:
        for command in (
            "link add limosap-b type bridge",
            "addr add 10.0.0.1/24 dev limosap-b",
            "link set limosap-b up",
            "link add limosap-h type veth peer name limosap-c",
            "link set limosap-h master limosap-b up",
        ):
            process.run(["ip", *command.split()])
        _wait_for_own_namespace(holder)
        process.run(["ip", "link", "set", "limosap-c", "netns", str(holder)])
        inside = ["nsenter", "-t", str(holder), "-n", "ip"]
        process.run([*inside, "addr", "add", "10.0.0.2/24", "dev", "limosap-c"])
        process.run([*inside, "link", "set", "limosap-c", "up"])
        with open("/proc/net/dev", encoding="ascii") as file:
            here = file.read()
        shown = process.run(["ip", "-oneline", "link", "show", "limosap-h"]).decode()
    finally:
        os.kill(holder, signal.SIGKILL)
        process.wait(holder)
    if "limosap-c" in here or "LOWER_UP" not in shown:
        return Outcome(MISSING, f"the pair has no carrier: {shown.strip()}")
    return Outcome(WORKS, "a bridge and a veth pair joined two network namespaces")


def _wait_for_own_namespace(pid: int) -> None:
    import time

    own = os.readlink("/proc/self/ns/net")
    deadline = time.monotonic() + 5
    while os.readlink(f"/proc/{pid}/ns/net") == own:
        if time.monotonic() > deadline:
            raise TimeoutError("unshare --net made no network namespace")
        time.sleep(0.002)
