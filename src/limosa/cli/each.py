"""Verbs that take several containers: one that fails does not keep the others from it."""

import sys
from collections.abc import Callable, Sequence

from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import EXIT_OK, LimosaError


def container(host: Host, references: Sequence[str], action: Callable[[ContainerRecord], object]) -> int:
    """Do `action` with each container and print its reference; return the first failure's exit status, else 0."""
    status = EXIT_OK
    for reference in references:
        try:
            action(host.containers.find(reference))
        except LimosaError as failed:
            if len(references) == 1:
                raise
            print(failed, file=sys.stderr)
            status = status or failed.exit_status
        else:
            print(reference, flush=True)
    return status
