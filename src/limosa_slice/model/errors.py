"""The one exception that the command shows to a person."""


class SliceError(Exception):
    """A failure that a person can act on.

    `code` is LIM-SLICE-NNN, `summary` what happened, `state` what is true now, `cause` the deeper reason, `hint` what
    to do. `status` is the exit status of the command.
    """

    def __init__(
        self,
        code: str,
        summary: str,
        *,
        state: str = "nothing changed",
        cause: str = "",
        hint: str = "",
        status: int = 1,
    ) -> None:
        super().__init__(summary)
        self.code = code
        self.summary = summary
        self.state = state
        self.cause = cause
        self.hint = hint
        self.status = status

    def render(self) -> str:
        """Return the message as the command prints it."""
        lines = [f"error[{self.code}]: {self.summary}", f"  state: {self.state}"]
        if self.cause:
            lines.append(f"  cause: {self.cause}")
        if self.hint:
            lines.append(f"  hint:  {self.hint}")
        return "\n".join(lines)
