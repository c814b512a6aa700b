"""What went through the interfaces of a network namespace, and what of it once more."""


def traffic(pid: int) -> tuple[int, int]:
    """Return the bytes that a process's network namespace received and sent, without loopback; 0, 0 if it is gone.

    Source: proc_pid_net(5), /proc/PID/net/dev: received bytes are the first number of an interface, sent the ninth.
    """
    received = sent = 0
    try:
        with open(f"/proc/{pid}/net/dev", encoding="utf-8") as file:
            for line in file:
                name, colon, numbers = line.partition(":")
                if colon and name.strip() != "lo":
                    counters = numbers.split()
                    received, sent = received + int(counters[0]), sent + int(counters[8])
    except OSError:
        return 0, 0
    return received, sent


def retransmitted(pid: int) -> int:
    """Return how many TCP segments a process's network namespace sent again, or got though it had them.

    0 if it is gone. The second is counted where both ends know selective acknowledgements. Source: proc_pid_net(5): in
    snmp and netstat a line of names, then one of numbers; Linux include/uapi/linux/snmp.h, LINUX_MIB_TCPDSACKOLDSENT.
    """
    return _counter(pid, "snmp", "Tcp", "RetransSegs") + _counter(pid, "netstat", "TcpExt", "TCPDSACKOldSent")


def _counter(pid: int, file_name: str, protocol: str, name: str) -> int:
    try:
        with open(f"/proc/{pid}/net/{file_name}", encoding="utf-8") as file:
            lines = [line.split() for line in file if line.startswith(f"{protocol}:")]
    except OSError:
        return 0
    return int(lines[1][lines[0].index(name)]) if len(lines) == 2 and name in lines[0] else 0
