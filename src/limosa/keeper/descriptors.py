"""Hold descriptors while a container's first process lives, and nothing else.

Started as `python -I -S descriptors.py`: descriptor 3 is a pidfd of that process, those above are what is held.
Commands take duplicates of them by pidfd_getfd(2), so there is nothing to say to this process and nothing that it could
do wrong. When it dies, the kernel takes the marks on pages back, and the next commit copies everything.
"""

import select
from typing import Final

PROCESS: Final = 3


def main() -> None:
    """Return when the process has ended. Source: pidfd_open(2)."""
    poll = select.poll()
    poll.register(PROCESS, select.POLLIN)
    poll.poll()


if __name__ == "__main__":
    main()
