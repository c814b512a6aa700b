"""What went through the interfaces of a network namespace."""


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
