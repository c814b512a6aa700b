"""A process's number in its container."""


def pid_inside(pid: int) -> int:
    """Return the number that a process of this machine has in its container. Source: proc_pid_status(5), NSpid.

    Raises: OSError: it is gone.
    """
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        numbers = next((line.split()[1:] for line in file if line.startswith("NSpid:")), [str(pid)])
    return int(numbers[:2][-1])
