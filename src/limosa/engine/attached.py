"""A person at a container: started in the foreground, or attached to while it runs."""

from collections.abc import Callable

from limosa.engine import ending, lifecycle
from limosa.engine.host import Host
from limosa.model.container import ContainerRecord
from limosa.model.errors import LimosaError
from limosa.model.hints import Final
from limosa.model.ids import ContainerId
from limosa.ports.runtime import Outcome, Streams

_SIGNALLED: Final = 128


def run(host: Host, record: ContainerRecord, streams: Streams) -> int:
    """Start a new container with this process's streams joined to it and return its status; `--rm` is honoured here.

    The caller watches it. 0 if the person let go of it, 128 + the signal's number if a signal ended the joining: it
    runs on then. Raises: LimosaError: it cannot be started; with `--rm` nothing is left of it.
    """
    container_id = record.container_id
    connections: list[int] = []
    start_new(host, record, lambda: connections.append(host.runtime.connect(container_id)))
    outcome = host.runtime.relay(container_id, connections[0], streams)
    if outcome.why != "ended":
        return _status_of(outcome)  # with --rm the monitor's own command removes the container when it ends
    if record.config.remove_when_stopped and record.config.kind == "app" and not record.config.hooks:
        return _ended_and_erased(host, container_id)
    status = lifecycle.wait(host, container_id)
    if record.config.remove_when_stopped:
        _remove_if_there(host, container_id)
    return status


def start_new(host: Host, record: ContainerRecord, before_program: Callable[[], None] | None = None) -> None:
    """Start a new container. Raises: LimosaError: it cannot be started; with `--rm` nothing is left of it."""
    try:
        lifecycle.start(host, record.container_id, before_program)
    except BaseException as failed:
        if record.config.remove_when_stopped:
            _remove_if_there(host, record.container_id)
        elif isinstance(failed, LimosaError):
            name = record.config.name
            failed.state = f'"{name}" is created and does not run; limosa rm {name} removes it'
        raise


def _ended_and_erased(host: Host, container_id: ContainerId) -> int:
    try:
        return ending.end_and_erase(host, container_id)
    except LimosaError as error:
        ending.unless_gone(error)
        return ending.KILLED


def _remove_if_there(host: Host, container_id: ContainerId) -> None:
    """Remove a container that has ended; another command may have done so first."""
    try:
        lifecycle.remove(host, container_id)
    except LimosaError as error:
        ending.unless_gone(error)


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
    return lifecycle.wait(host, container_id)


def _status_of(outcome: Outcome) -> int:
    return 0 if outcome.why == "detached" else _SIGNALLED + outcome.signal
