"""What is said when memory cannot be followed."""

from limosa.model.errors import LimosaError, words_of


def unreadable(failed: OSError) -> LimosaError:
    """Return the error for memory of a process that should be read for a commit."""
    return LimosaError(
        "LIM-TRACK-001",
        "the memory that was written since the last commit cannot be read",
        state="nothing of this commit is kept",
        cause=words_of(failed),
        hint="try again: the next commit copies everything",
    )
