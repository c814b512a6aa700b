"""Which boot of the machine this is."""


def boot_id() -> str:
    """Return the id of the present boot; every boot has another. Source: random(4), /proc/sys/kernel/random/boot_id."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()
