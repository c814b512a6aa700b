"""The `Hooks` port: programs in a session of their own, for half a minute at most."""

import os
import shlex
from typing import Final

from limosa.linux import process
from limosa.ports.hooks import HookFailed

TIME_LIMIT_S: Final = 30.0
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class HookPrograms:
    """Hooks with a bare environment: PATH and what the engine says about the container."""

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        """`time_limit_s` is for one hook."""
        self._time_limit_s = time_limit_s

    def run(self, command: str, env: tuple[tuple[str, str], ...]) -> None:
        """See the port."""
        argv = shlex.split(command)
        try:
            finished = process.capture(
                argv, env={"PATH": os.environ.get("PATH", _PATH), **dict(env)}, cwd="/", timeout_s=self._time_limit_s
            )
        except (OSError, TimeoutError) as failed:
            raise HookFailed(str(failed)) from failed
        if finished.status != 0:
            words = (finished.stderr or finished.stdout).decode(errors="replace").strip()
            raise HookFailed(f"{argv[0]} ended with {finished.status}: {words[-500:]}".rstrip(": "))
