"""Kernel parameters under /proc/sys; those below net/ are the calling thread's network namespace's."""


def read(name: str) -> str | None:
    """Return the value of a parameter such as "net/ipv4/ip_forward", or None where the kernel has none."""
    try:
        with open(f"/proc/sys/{name}") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def write(name: str, value: str) -> bool:
    """Set a parameter and return whether the kernel has it; one that has the value already is left alone.

    Raises: PermissionError, OSError: refused. Source: proc_sys(5).
    """
    if read(name) == value:
        return True
    try:
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(value)
    except FileNotFoundError:
        return False
    return True
