"""What crun's words about a program mean to whoever asked for it."""

from limosa.model.errors import EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, LimosaError
from limosa.model.hints import Final

_NOT_EXECUTABLE: Final = ("Permission denied", "Exec format error", "is not executable", "Is a directory")


def closed_root(directory: str) -> LimosaError:
    """Return the error for a root in which a container's own root finds nothing."""
    return LimosaError(
        "LIM-RUN-010",
        "no container can run in this root",
        cause=f"{directory} lets only its owner in, and the root of a container is somebody else",
        hint=f"choose another --root, or chmod o+x {directory}",
    )


def not_created(words: str) -> LimosaError:
    """Return LIM-RUN-001 for a container that is to start."""
    hint = "limosa doctor shows what this machine lacks"
    if "/proc/sys" in words or "sysctl" in words:
        hint = "--sysctl takes what a container has of its own: net.*, kernel.shm*, kernel.msg*, fs.mqueue.*"
    return LimosaError("LIM-RUN-001", "the container cannot be created", cause=words, hint=hint)


def not_executed(words: str) -> LimosaError:
    """Return LIM-RUN-001 for an `execute`."""
    hint = "limosa doctor shows what this machine lacks"
    return LimosaError("LIM-RUN-001", "the program cannot be executed", cause=words, hint=hint)


def translated(failed: LimosaError, argv: tuple[str, ...]) -> LimosaError:
    """Return LIM-RUN-002 or -003 if that is what `failed` means for `argv`, else `failed`."""
    words, command = failed.cause, argv[0] if argv else ""
    if command and command in words and ("not found" in words or "No such file or directory" in words):
        return LimosaError(
            "LIM-RUN-002",
            f"there is no command {command!r} in the container",
            cause=words,
            hint="options come before the image or the container"
            if command.startswith("-")
            else "check the name; limosa exec NAME ls /usr/bin shows what is there",
            exit_status=EXIT_NOT_FOUND,
        )
    if any(reason in words for reason in _NOT_EXECUTABLE):
        return LimosaError(
            "LIM-RUN-003",
            f"{command!r} cannot be executed in the container",
            cause=words,
            hint="check its mode and its architecture",
            exit_status=EXIT_NOT_EXECUTABLE,
        )
    return failed
