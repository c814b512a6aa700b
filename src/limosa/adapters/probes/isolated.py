"""Start one trial in namespaces of its own, with a time limit."""

import json
import os
import sys
from typing import Final

from limosa.linux import process
from limosa.ports.probes import MISSING, Outcome

LIMIT_S: Final = 30.0
_UNSHARE: Final = (
    *("unshare", "--fork", "--kill-child", "--pid", "--mount-proc"),
    *("--mount", "--net", "--ipc", "--propagation", "private"),
)


def attempt(name: str, arguments: tuple[str, ...], time_limit_s: float = LIMIT_S) -> Outcome:
    """Run the trial `name` and return its outcome; a trial that cannot start or does not end is "missing".

    State: everything that the trial made is gone, as its namespaces are.
    """
    import tempfile

    directory = tempfile.mkdtemp(prefix="limosa-probe-")
    argv = [*_UNSHARE, sys.executable, "-I", "-c", _START, _source(), directory, name, *arguments]
    try:
        finished = process.capture(argv, timeout_s=time_limit_s)
    except TimeoutError:
        return Outcome(MISSING, f"the trial did not end within {time_limit_s:g} s")
    except OSError as failed:
        return Outcome(MISSING, f"the trial could not start: {failed}")
    finally:
        os.rmdir(directory)
    lines = finished.stdout.decode(errors="replace").strip().splitlines()
    try:
        return Outcome(**json.loads(lines[-1]))
    except (IndexError, ValueError, TypeError):
        words = finished.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return Outcome(MISSING, f"the trial ended with {finished.status}: {words[-1]}")


# -I keeps the user's environment and the current directory out; the package is found where this one was.
_START: Final = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from limosa.adapters.probes import trial
trial.main(sys.argv[1:])
"""


def _source() -> str:
    return os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
