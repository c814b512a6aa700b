"""The limosa command with a deed that takes long, or one that fails: what stands for `limosa` in test_migration_resets.

The file that LIMOSA_SLOW names says so, as JSON: `slow` is a deed's name and "before" or "after", `fails` the name of
one that fails once; what is to hold then is in a file beside it that ends with ".once".
"""

import json
import os
import time
from typing import Any

from limosa.adapters.bridge_network.adapter import BridgeNetworks
from limosa.adapters.cgroups.groups import ContainerGroups
from limosa.adapters.criu.adapter import Criu
from limosa.engine import reviving
from limosa.model.errors import LimosaError

PLACE = os.environ.get("LIMOSA_SLOW", "")
# A client that got no answer asks again after 0.2, 0.6, 1.4, 3.0 and 6.2 s: once at least while this passes.
PAUSE_S = 3.5
MOMENTS = ("setup-namespaces", "post-setup-namespaces", "post-restore", "pre-resume")
DEEDS = {
    "connect": (BridgeNetworks, "connect"),
    "silence": (BridgeNetworks, "silence"),
    "unsilence": (BridgeNetworks, "unsilence"),
    "disconnect": (BridgeNetworks, "disconnect"),
    "kill": (ContainerGroups, "kill"),
    "locks": (Criu, "take_locks"),
}


def wanted(deed: str) -> tuple[str, bool]:
    """Return when a deed is slow ("" if never), and whether it fails."""
    try:
        with open(PLACE, encoding="utf-8") as file:
            asked = json.load(file)
    except FileNotFoundError:
        return "", False
    name, _, when = asked.get("slow", "").partition(" ")
    return when if name == deed else "", asked.get("fails") == deed


def around(owner: Any, method: str, deed: str) -> None:
    """Let a method be slow or fail if that is asked for; one deed is a moment of criu's, said by the first argument."""
    original = getattr(owner, method)

    def slowed(*arguments: Any, **options: Any) -> Any:
        when, fails = wanted(deed or str(arguments[1]))
        if when == "before":
            time.sleep(PAUSE_S)
        if fails:
            os.rename(f"{PLACE}.once", PLACE)
            raise LimosaError("LIM-CRIU-031", "a lock cannot be had", cause="a test takes it")
        result = original(*arguments, **options)
        if when == "after":
            time.sleep(PAUSE_S)
        return result

    setattr(owner, method, slowed)


def main() -> None:
    """Run the command."""
    for deed, (owner, method) in DEEDS.items():
        around(owner, method, deed)
    around(reviving._Moments, "__call__", "")
    from limosa.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
