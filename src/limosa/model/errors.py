"""The one error that limosa raises on purpose, and the exit statuses it leads to."""

from limosa.model.hints import Final

# Exit statuses of the `limosa` command. `run` and `exec` pass the program's own status on and use
# docker's 125..127 for their own failures, so that a script can tell the two apart.
EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_RUN_FAILED: Final = 125
EXIT_NOT_EXECUTABLE: Final = 126
EXIT_NOT_FOUND: Final = 127


def words_of(error: BaseException) -> str:
    """Return what an error says; of the kernel's, about which file and without its number."""
    if not isinstance(error, OSError):
        return str(error)
    return f"{error.filename}: {error.strerror}" if error.filename else error.strerror or str(error)


class LimosaError(Exception):
    """Something failed, and this says what, in which state things are, why, and what to do.

    `code` is stable (LIM-AREA-NNN) and listed in docs/errors.md; `summary` is one line that says what
    could not be done; `state` is where things stand now; `cause` is the reason, in the container's own
    terms; `hint` is the command or change that helps. `exit_status` is the command's.
    """

    def __init__(
        self,
        code: str,
        summary: str,
        *,
        state: str = "nothing changed",
        cause: str = "",
        hint: str = "",
        exit_status: int = EXIT_FAILURE,
    ) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.state = state
        self.cause = cause
        self.hint = hint
        self.exit_status = exit_status

    def __str__(self) -> str:
        """Return the message as a person reads it, one field a line."""
        lines = [f"error[{self.code}]: {self.summary}", f"  state: {self.state}"]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return the same fields for `--json`."""
        return {
            "error": {
                "code": self.code,
                "summary": self.summary,
                "state": self.state,
                "cause": self.cause,
                "hint": self.hint,
                "exit_status": self.exit_status,
            }
        }
