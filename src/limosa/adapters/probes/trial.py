"""One trial in namespaces of its own: `python -m limosa.adapters.probes.trial DIRECTORY NAME [ARGUMENT…]`.

The parent starts this as the first process of new mount, network, IPC and pid namespaces (see isolated.py).  Whatever
a trial makes is in DIRECTORY, a tmpfs of these namespaces, or belongs to them: the kernel removes it all when this
process ends.  The last line of the output is the outcome as JSON.
"""

import json
import os
import sys
from collections.abc import Callable

from limosa.adapters.probes import kernel_trials, network_trials, program_trials, storage_trials, written_pages_trial
from limosa.adapters.probes.checkpoint_trial import checkpoint
from limosa.linux import mount, process
from limosa.ports.probes import MISSING, Outcome

TRIALS: dict[str, Callable[..., Outcome]] = {
    "checkpoint": checkpoint,
    "user-namespace": kernel_trials.user_namespace,
    "pagemap-scan": kernel_trials.pagemap_scan,
    "userfaultfd": kernel_trials.userfaultfd,
    "soft-dirty": kernel_trials.soft_dirty,
    "written-pages": written_pages_trial.written_pages,
    "seccomp": kernel_trials.seccomp,
    "cgroups": kernel_trials.cgroups,
    "btrfs-loop": storage_trials.btrfs_loop,
    "overlay-idmapped": storage_trials.overlay_idmapped,
    "nftables": network_trials.nftables,
    "veth": network_trials.veth,
    "crun": program_trials.crun,
    "lxcfs": program_trials.lxcfs,
}


def main(argv: list[str]) -> None:
    """Run the trial that `argv` names and print its outcome."""
    directory, name, *arguments = argv
    mount.mount("limosa-probe", directory, "tmpfs", mount.MS_NOSUID)
    os.chdir(directory)
    try:
        outcome = TRIALS[name](*arguments)
    except process.CommandFailed as failed:
        outcome = Outcome(MISSING, str(failed).replace("\n", " / "))
    except (OSError, ArithmeticError, ValueError) as failed:
        outcome = Outcome(MISSING, f"{type(failed).__name__}: {failed}")
    print(json.dumps(outcome._asdict()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
