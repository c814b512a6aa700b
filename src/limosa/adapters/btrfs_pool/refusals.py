"""The errors of this adapter."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from limosa.linux import process
from limosa.model.errors import EXIT_USAGE, LimosaError, words_of


def pool_full(cause: str) -> LimosaError:
    """Return the error for a pool that has no room for one more thing."""
    return LimosaError(
        "LIM-STOR-002",
        "the pool of containers' files is full",
        cause=cause,
        hint="remove containers or commits that are no longer needed, or enlarge the pool",
    )


def disk_in_use(cause: str, hint: str) -> LimosaError:
    """Return the error for a disk that cannot have the size that is asked for."""
    return LimosaError("LIM-STOR-003", "the disk limit cannot be changed", cause=cause, hint=hint)


def files_missing(what: str) -> LimosaError:
    """Return the error for a container that has no files."""
    return LimosaError(
        "LIM-STOR-006",
        f"the files of {what} are not in the pool",
        cause="they were removed, or the pool is not mounted",
        hint="limosa recover",
    )


def disk_too_small(size_bytes: int, least_bytes: int) -> LimosaError:
    """Return the error for a disk limit that no file system fits in."""
    return LimosaError(
        "LIM-STOR-005",
        f"a disk of {size_bytes >> 20} MiB is too small",
        cause=f"a file system of its own takes {least_bytes >> 20} MiB at least",
        hint=f"--disk {least_bytes >> 20}M, or more",
        exit_status=EXIT_USAGE,
    )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the kernel or a tool refuses within a `with` block into a LimosaError that says `what` failed."""
    try:
        yield
    except (OSError, process.CommandFailed) as failed:
        full = (errno.ENOSPC, errno.EDQUOT)
        if isinstance(failed, OSError) and failed.errno in full:
            raise pool_full(f"{what}: {failed}") from failed
        raise LimosaError(
            "LIM-STOR-004",
            f"{what} failed",
            cause=words_of(failed),
            hint="limosa doctor shows whether this machine has what storage needs",
        ) from failed
