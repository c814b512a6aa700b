"""What crun has to find in its own state of a container that criu brought back, for exec, state and kill to work."""

import json
import os

from limosa.model.container import ContainerConfig
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import TYPE_CHECKING, Final
from limosa.model.ids import ContainerId
from limosa.ports.runtime import Started

if TYPE_CHECKING:
    from limosa.adapters.crun_runtime import session


_CONSOLE: Final = "console-socket"  # where conmon takes a restored terminal's master: written by exec.sh


def console(bundle: str) -> str:
    """Return where exec.sh is to write that; what an earlier restore wrote there is gone."""
    path = f"{bundle}/{_CONSOLE}"
    if os.path.exists(path):
        os.unlink(path)
    return path


def give_terminal(bundle: str, master: int) -> None:
    """Hand a terminal's master to the monitor. Raises: LimosaError LIM-RUN-008."""
    from limosa.adapters.crun_runtime import attach

    try:
        with open(f"{bundle}/{_CONSOLE}", encoding="utf-8") as file:
            path = file.read().strip()
        attach.hand_over(path, master)
    except OSError as refused:
        raise LimosaError(
            "LIM-RUN-008", "the terminal cannot be handed to the monitor", cause=words_of(refused)
        ) from refused


def keep_filter(run_directory: str, place: "session.Place") -> None:
    """Make the filter that crun's exec takes; before anything of the container is there again."""
    with open(f"{place.bundle}/config.json", encoding="utf-8") as file:
        profile = json.load(file)["linux"].get("seccomp")
    if profile is not None:
        from limosa.adapters.crun_runtime import seccomp_filter

        made = seccomp_filter.compiled(profile, run_directory, place.enter, place.env)
        directory = f"{run_directory}/crun/{place.container_id}"
        os.makedirs(directory, mode=0o700, exist_ok=True)
        if not os.path.exists(f"{directory}/seccomp.bpf"):
            os.link(made, f"{directory}/seccomp.bpf")


def make_ready(run_directory: str, place: "session.Place", config: ContainerConfig, first_host_id: int) -> None:
    """Compile the filter of a container that will be restored."""
    from limosa.adapters.crun_runtime import seccomp_filter, spec

    profile = spec.seccomp_profile(config, first_host_id)
    if profile is not None:
        seccomp_filter.compiled(profile, run_directory, place.enter, place.env)


def adopt(run_directory: str, bundle: str, container_id: ContainerId, started: Started) -> None:
    """Write what crun knows a container by, `<root>/<id>/status`."""
    directory = f"{run_directory}/crun/{container_id}"
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with open(f"{bundle}/config.json", encoding="utf-8") as file:
        config = json.load(file)
    status = {
        "pid": started.init_pid,
        "process-start-time": started.init_start_ticks,
        "cgroup-path": "",
        "scope": None,
        "intelrdt": None,
        "rootfs": config["root"]["path"],
        "systemd-cgroup": False,
        "bundle": bundle,
        "created": "1970-01-01T00:00:00.000000Z",
        "owner": "root",
        "detached": True,
        "external_descriptors": "[]",
    }
    with open(f"{directory}/config.json", "w", encoding="utf-8") as file:
        file.write(json.dumps(config))
    with open(f"{directory}/status.new", "w", encoding="utf-8") as file:
        file.write(json.dumps(status))
    os.replace(f"{directory}/status.new", f"{directory}/status")
