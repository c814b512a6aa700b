"""What a config.json gives a container, as far as a dump of it shows. Source: OCI runtime specification; crun."""

from typing import Any, Final

from limosa.model.confinement import Allowance, AllowedMount

_FLAGS: Final = ("ro", "nosuid", "nodev", "noexec")


def of(config: dict[str, Any], first_host_id: int, seccomp_path: str | None) -> Allowance:
    """Return what a container of `config` has; `seccomp_path` is its compiled filter. Raises: OSError."""
    linux, process = config["linux"], config["process"]
    seccomp_filter = None
    if seccomp_path:
        with open(seccomp_path, "rb") as file:
            seccomp_filter = file.read()
    return Allowance(
        first_host_id=first_host_id,
        capabilities=frozenset(process["capabilities"]["bounding"]),
        no_new_privileges=process["noNewPrivileges"],
        seccomp_filter=seccomp_filter,
        mounts=tuple(_mount(one) for one in config["mounts"]),
        masked=frozenset(linux.get("maskedPaths", ())),
        read_only=frozenset(linux.get("readonlyPaths", ())),
        read_only_rootfs=config["root"]["readonly"],
        own_network=any(one["type"] == "network" for one in linux["namespaces"]),
    )


def _mount(entry: dict[str, Any]) -> AllowedMount:
    # "rro" of a bind is "ro" of the mount itself, and of those below it.
    flags = {"ro" if option == "rro" else option for option in entry["options"]}
    return AllowedMount(
        place=entry["destination"],
        external=entry["type"] == "bind",
        filesystem="" if entry["type"] == "bind" else entry["type"],
        flags=frozenset(flags.intersection(_FLAGS)),
    )
