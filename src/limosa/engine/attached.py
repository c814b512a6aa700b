"""A person at a container: started in the foreground, or attached to while it runs."""

from collections.abc import Callable
from typing import Final

from limosa.engine import lifecycle
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.ids import ContainerId
from limosa.ports.runtime import Outcome, Streams

_SIGNALLED: Final = 128


def run(host: Host, container_id: ContainerId, streams: Streams) -> int:
    """Start a container with this process's streams joined to it and return its status; `--rm` is honoured here.

    0 if the person let go of it, 128 + the signal's number if a signal ended the joining: it runs on then.
    Raises: LimosaError: it cannot be started; with `--rm` nothing is left of it.
    """
    connections: list[int] = []
    remove_after = host.containers.load(container_id).config.remove_when_stopped
    try:
        record = lifecycle.start(host, container_id, lambda: connections.append(host.runtime.connect(container_id)))
        outcome = host.runtime.relay(container_id, connections[0], streams)
        if outcome.why != "ended":
            remove_after = False  # the monitor's own command does it when the container ends
            return _status_of(outcome)
        status = host.runtime.wait(container_id, lifecycle.process_of(record), None)
        _unless_gone(lambda: lifecycle.on_exit(host, container_id))
    finally:
        if remove_after:
            _unless_gone(lambda: lifecycle.remove(host, container_id))
    return 0 if status is None else status


def attach(host: Host, record: ContainerRecord, streams: Streams) -> int:
    """Join this process's streams to a running container's and return as `run` does.

    Raises: LimosaError LIM-CONT-002: it does not run.
    """
    lifecycle.require_running(record, "attach to")
    container_id = record.container_id
    terminal = record.config.terminal
    streams = streams._replace(
        terminal=terminal,
        stdin=streams.stdin and record.config.stdin_open,
        # A signal to somebody who looks at a terminal ends the looking, as in docker.
        pass_signals=streams.pass_signals and not terminal,
    )
    try:
        connection = host.runtime.connect(container_id)
    except OSError as gone:
        raise LimosaError(
            "LIM-CONT-007",
            f'cannot attach to "{record.config.name}"',
            cause=f"its monitor does not answer: {gone}",
            hint="limosa recover",
        ) from gone
    if streams.terminal:
        # A size that is another one makes the program draw its screen anew for who has just come.
        host.runtime.redraw(container_id)
    outcome = host.runtime.relay(container_id, connection, streams)
    if outcome.why != "ended":
        return _status_of(outcome)
    status = host.runtime.wait(container_id, lifecycle.process_of(record), None)
    return 0 if status is None else status


def _status_of(outcome: Outcome) -> int:
    return 0 if outcome.why == "detached" else _SIGNALLED + outcome.signal


def _unless_gone(action: Callable[[], object]) -> None:
    """Do `action`; the monitor's own command may have removed the container first."""
    try:
        action()
    except LimosaError as error:
        if error.code != "LIM-NAME-003":
            raise
