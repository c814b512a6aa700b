"""The limosa command with one fault in it: what stands for `limosa` on the hosts of test_migration_faults.

The file that LIMOSA_FAULTY names says, as JSON, on which side ("source" or "target"), at which step, before or after
it, what happens: "source", "target" or "both" are killed, or the "link" of the host is cut. It happens once.
"""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

from limosa.adapters.ssh_peers import adapter, frames
from limosa.engine.arriving import Arriving
from limosa.engine.giving import Giving
from limosa.engine.giving_stopped import GivingStopped
from limosa.model.handover import Ask, Do, Write

PLACE = os.environ.get("LIMOSA_FAULTY", "")
IDLE_S = 4.0
GREETING_S = 60.0  # on a machine with much to do ssh, a login and Python's start take longer than that


def point(step: object) -> str:
    """Return what a step is called: "write given", "do end", "ask go"."""
    if isinstance(step, Write):
        return f"write {step.phase}"
    return f"do {step.what}" if isinstance(step, Do) else f"ask {step.question}" if isinstance(step, Ask) else str(step)


def note(side: str) -> None:
    """Say which process a side is."""
    with open(f"{PLACE}.{side}", "w", encoding="ascii") as file:
        file.write(str(os.getpid()))


def strike(side: str, where: str, when: str) -> None:
    """Do what the file says if this is the place."""
    try:
        with open(PLACE, encoding="utf-8") as file:
            wanted = json.load(file)
    except (FileNotFoundError, ValueError):
        return
    if (wanted["side"], wanted["point"], wanted["when"]) != (side, where, when):
        return
    os.rename(PLACE, f"{PLACE}.fired")
    if wanted["what"] == "link":
        subprocess.run(["ip", "link", "set", "uplink", "down"], check=True)
        return
    other = {"source": "target", "target": "source"}[side]
    if wanted["what"] in (other, "both"):
        try:
            with open(f"{PLACE}.{other}", encoding="ascii") as file:
                os.kill(int(file.read()), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            pass
    if wanted["what"] in (side, "both"):
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(10)


def sabotage() -> None:
    """Put a strike around every step of both sides."""
    around(Giving, "perform", "source", lambda arguments: point(arguments[1]))
    # These deeds go on inside a notification of criu's: where they begin and end is where other functions do.
    around(Giving, "_frozen", "source", before="do freeze", after="do end")
    around(Giving, "_stands_still", "source", before="do freeze after", after="do end before")
    # Of a container that is stopped and started, `end` has nothing left to do.
    around(GivingStopped, "_frozen", "source", before="do freeze", after="do freeze")
    around(GivingStopped, "perform", "source", lambda arguments: point(arguments[1]))
    around(Arriving, "perform", "target", lambda arguments: point(arguments[1]))
    around(Arriving, "_hold", "target", before="do hold")
    around(Arriving, "_rest", "target", before="do hold after")
    around(Arriving, "_asked_on", "target", after="do run before")
    around(Arriving, "_arrived", "target", before="do run after")
    around(Arriving, "_reply", "target", lambda arguments: f"reply {arguments[1]}")
    adapter.SshPeers.__init__.__defaults__ = (IDLE_S,)  # type: ignore[misc]
    vars(frames)["BEAT_S"] = 0.5
    begin = frames.FramedConnection.begin

    def begin_patiently(connection: frames.FramedConnection) -> None:
        idle_s, connection._idle_s = connection._idle_s, GREETING_S
        try:
            begin(connection)
        finally:
            connection._idle_s = idle_s

    frames.FramedConnection.begin = begin_patiently  # type: ignore[method-assign]


def around(
    owner: Any,
    name: str,
    side: str,
    named: Callable[[Any], str] = lambda arguments: "",
    *,
    before: str = "",
    after: str = "",
) -> None:
    """Strike before and after a method; `before` and `after` may say "before" or "after" what that is, themselves."""
    original = getattr(owner, name)

    def struck(*arguments: Any, **options: Any) -> Any:
        note(side)
        strike(side, *placed(before or named(arguments), "before", before or not after))
        result = original(*arguments, **options)
        strike(side, *placed(after or named(arguments), "after", after or not before))
        return result

    setattr(owner, name, struck)


def placed(where: str, when: str, wanted: object) -> tuple[str, str]:
    """Return step and time of a strike."""
    if not wanted:
        return "", ""
    for other in ("before", "after"):
        if where.endswith(f" {other}"):
            return where.removesuffix(f" {other}"), other
    return where, when


def main() -> None:
    """Run the command."""
    if PLACE:
        sabotage()
    from limosa.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
