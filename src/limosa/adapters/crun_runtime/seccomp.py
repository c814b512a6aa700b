"""The seccomp profile: containers-common's allow-list, less what CRIU cannot dump.

The list that podman and buildah ship (`/usr/share/containers/seccomp.json`) is the base, because keeping an
allow-list current with the kernel is a trade of its own.  On top of it io_uring and bpf are refused with ENOSYS and
EPERM, for their descriptors cannot be dumped, and `userfaultfd` as well, since limosa's own tracking needs the range.
"""

import os
from collections.abc import Collection

from limosa.model import json_text
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Any, Final

BASE_PROFILE: Final = "/usr/share/containers/seccomp.json"
_NEVER: Final = frozenset({"io_uring_setup", "io_uring_enter", "io_uring_register", "bpf", "userfaultfd"})
_EPERM: Final = 1
_ENOSYS: Final = 38
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}


def profile(path: str, capabilities: Collection[str]) -> dict[str, Any]:
    """Return the OCI form of the profile for a container that has `capabilities`.

    `path` is "default" or the file of a profile in containers-common's or OCI form.  Raises: LimosaError
    LIM-SEC-001: the file is missing or no such profile.
    """
    source = BASE_PROFILE if path == "default" else path
    try:
        with open(source, encoding="utf-8") as file:
            base = json_text.loads(file.read())
        if "archMap" not in base:  # already what the runtime takes
            return dict(base)
        return _for_capabilities(base, frozenset(capabilities), path == "default")
    except (OSError, ValueError, KeyError, TypeError) as bad:
        raise LimosaError(
            "LIM-SEC-001",
            f"the seccomp profile {source} cannot be used",
            cause=words_of(bad),
            hint="limosa setup installs the default profile; --seccomp takes another file or 'unconfined'",
        ) from bad


def _for_capabilities(base: dict[str, Any], capabilities: frozenset[str], strict: bool) -> dict[str, Any]:
    architecture = _ARCHITECTURES.get(os.uname().machine, os.uname().machine)
    rules = []
    for rule in base["syscalls"]:
        includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
        if not _holds(includes, capabilities, architecture, default=True):
            continue
        if _holds(excludes, capabilities, architecture, default=False):
            continue
        names = [name for name in rule["names"] if not (strict and name in _NEVER)]
        if names:
            rules.append(_rule(names, rule))
    if "CAP_SYS_BOOT" in capabilities:
        rules.append({"names": ["reboot"], "action": "SCMP_ACT_ALLOW"})
    if strict:
        rules.append({"names": ["bpf", "userfaultfd"], "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM})
    machine_names = [
        [entry["architecture"], *(entry.get("subArchitectures") or [])]
        for entry in base["archMap"]
        if entry["architecture"] == f"SCMP_ARCH_{os.uname().machine.upper()}"
    ]
    return {
        "defaultAction": base["defaultAction"],
        "defaultErrnoRet": base.get("defaultErrnoRet", _ENOSYS),
        "architectures": machine_names[0] if machine_names else [],
        "syscalls": rules,
    }


def _holds(condition: dict[str, Any], capabilities: frozenset[str], architecture: str, *, default: bool) -> bool:
    wanted_caps, wanted_arches = condition.get("caps") or [], condition.get("arches") or []
    if not wanted_caps and not wanted_arches:
        return default
    if wanted_arches and architecture not in wanted_arches:
        return False
    return all(name in capabilities for name in wanted_caps)


def _rule(names: list[str], rule: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"names": names, "action": rule["action"]}
    if rule.get("errnoRet") is not None:
        made["errnoRet"] = rule["errnoRet"]
    if rule.get("args"):
        made["args"] = rule["args"]
    return made
