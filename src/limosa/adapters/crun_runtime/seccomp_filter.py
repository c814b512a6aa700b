"""The compiled seccomp filter of a container that crun did not start itself.

crun compiles a profile when it creates a container and keeps it as `seccomp.bpf` in its state, from where its `exec`
takes it; without that file what is executed would not be filtered at all. For a restored container the file is made by
letting crun create a container of an empty directory with the same profile, which never runs. Made once per profile
and crun: `<run>/seccomp/<digest>`.
"""

import json
import os
from collections.abc import Mapping

from limosa.linux import files, process
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Any

_NAME = "filter"


def compiled(profile: Mapping[str, Any], run_directory: str, enter: str, env: Mapping[str, str]) -> str:
    """Return the path of the compiled `profile`. `enter` becomes crun, see enter.pl.

    Raises: LimosaError LIM-RUN-009: crun cannot compile it; nothing is left.
    """
    from _blake2 import blake2b  # hashlib takes 10 ms to load

    program = os.path.realpath(env["LIMOSA_CRUN"])
    digest = blake2b(json.dumps([program, profile], sort_keys=True).encode(), digest_size=16).hexdigest()
    path = f"{run_directory}/seccomp/{digest}"
    if not os.path.exists(path):
        place = f"{path}.{os.getpid()}"
        try:
            _compile(profile, place, enter, env)
            os.replace(f"{place}/crun/{_NAME}/seccomp.bpf", path)
        except OSError as failed:
            raise LimosaError(
                "LIM-RUN-009",
                "the seccomp profile cannot be compiled",
                cause=words_of(failed),
                hint="limosa doctor tries crun",
            ) from failed
        finally:
            process.capture([program, "--root", f"{place}/crun", "--cgroup-manager=disabled", "delete", "-f", _NAME])
            files.remove_tree(place)
    return path


def _compile(profile: Mapping[str, Any], place: str, enter: str, env: Mapping[str, str]) -> None:
    for name in ("rootfs", "rootfs/dev", "rootfs/proc", "rootfs/sys", "crun"):
        os.makedirs(f"{place}/{name}", mode=0o700)
    with open(os.open(f"{place}/rootfs/program", os.O_WRONLY | os.O_CREAT, 0o700), "wb"):
        pass
    config = {
        "ociVersion": "1.0.2",
        "process": {
            "args": ["/program"],
            "cwd": "/",
            "user": {"uid": 0, "gid": 0},
            "env": [],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs"},
        "mounts": [{"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "noexec"]}],
        "linux": {"namespaces": [{"type": "mount"}, {"type": "pid"}], "seccomp": dict(profile)},
    }
    with open(f"{place}/config.json", "w", encoding="utf-8") as file:
        json.dump(config, file)
    log = f"{place}/log"
    argv = [enter, "--root", f"{place}/crun", "--cgroup-manager=disabled", f"--log=file:{log}"]
    argv += ["create", "--bundle", place, _NAME]
    output = os.open(f"{place}/output", os.O_WRONLY | os.O_CREAT, 0o600)  # never a device of the host
    try:
        status = process.wait(
            process.spawn(argv, env={**env, "LIMOSA_STDIN": "none"}, files=[(output, 1), (output, 2)], session=True)
        )
    finally:
        os.close(output)
    if status != 0:
        with open(log, encoding="utf-8", errors="replace") as file:
            raise OSError(file.read().strip() or f"crun ended with {status}")
