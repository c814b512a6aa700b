"""A commit is tried: restored for real, apart from everybody, run, and asked whether it works.

What is tried is a copy with an identity of its own, whose network leads nowhere and whose files are copied. For as long
as it is tried its record says "creating" and its lock is held, so `recover` removes what a killed command leaves.
"""

from collections.abc import Callable
from contextlib import ExitStack

from limosa.engine import copies, ending, restore, reviving, sessions
from limosa.engine.host import Host
from limosa.model.commit import CommitId, CommitRecord
from limosa.model.container import ContainerRecord, CopyRequest, RestartPolicy
from limosa.model.errors import LimosaError
from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

_BETWEEN_PROBES_SECONDS: Final = 0.5
_NS: Final = 10**9


class Terms(NamedTuple):
    """What a commit has to do to pass."""

    probe: str = ""  # a command line of the container's shell; "": its first process has only to go on
    run_s: float = 2.0  # how long it runs before it is asked
    patience_s: float = 10.0  # how long the probe may go on failing


class Verdict(NamedTuple):
    """What became of a commit. One that is "untried" cannot be tried apart from what it would change."""

    commit_id: CommitId
    container: str
    outcome: Literal["works", "fails", "untried"]
    why: str
    took_ns: int = 0


def trial(host: Host, commit: CommitRecord, terms: Terms, sleep: Callable[[float], None]) -> Verdict:
    """Try a commit and return what became of it. Nothing of the trial is left, and nothing of others was touched."""
    name = commit.container.config.name
    reason = _untriable(commit)
    if reason:
        return Verdict(commit.commit_id, name, "untried", reason)
    begun_ns = host.now_ns()
    was_here = commit.snapshot in host.storage.snapshots(commit.container.container_id)
    try:
        with restore.brought(host, commit) as images:
            why = _tried(host, commit, images, terms, sleep)
    except LimosaError as failed:
        why = f"it cannot be restored: {failed.summary}{f' ({failed.cause})' if failed.cause else ''}"
    finally:
        if not was_here:
            host.storage.drop_snapshot(commit.container.container_id, commit.snapshot)
            host.volumes.drop_snapshots(commit.snapshot)
    took_ns = host.now_ns() - begun_ns
    if why:
        return Verdict(commit.commit_id, name, "fails", why, took_ns)
    said = f"ran {terms.run_s:g} s{', and the probe succeeded' if terms.probe else ''}"
    return Verdict(commit.commit_id, name, "works", said, took_ns)


def _untriable(commit: CommitRecord) -> str:
    config = commit.container.config
    if config.network.network == "host":
        return "it is on the host's network, which it would use"
    own = {volume.name for volume in commit.volumes if volume.policy != "reference"}
    outside = [one for one in config.mounts if one.kind == "bind" or (one.kind == "volume" and one.source not in own)]
    shared = [one for one in outside if not one.read_only]
    if shared:
        return f"it would write to {shared[0].source}, which is in no commit"
    return ""


def _tried(
    host: Host, commit: CommitRecord, images: reviving.Brought, terms: Terms, sleep: Callable[[float], None]
) -> str:
    """Return why it does not work, "" if it does."""
    container_id = host.new_id()
    config = copies.config_of_copy(commit.container.config, f"trial-{container_id[:12]}")
    config = config._replace(hooks=(), restart=RestartPolicy(), onboot=False, remove_when_stopped=False)
    with host.containers.locked(container_id, create=True):
        try:
            with ExitStack() as undo:
                record = copies.prepare(host, commit, container_id, config, CopyRequest(fleeting=True), undo)
                record = reviving.revive(
                    host, record, commit, images, undo, keep_connections=False, phase="creating", isolated=True
                )
            return _judged(host, record, terms, sleep)
        finally:
            if any(one.container_id == container_id for one in host.containers.all()):
                ending.erase(host, host.containers.load(container_id))


def _judged(host: Host, record: ContainerRecord, terms: Terms, sleep: Callable[[float], None]) -> str:
    status = host.runtime.wait(record.container_id, ending.process_of(record), terms.run_s)
    if status is not None:
        return f"its first process ended with {status} within {terms.run_s:g} s"
    if not terms.probe:
        return ""
    wanted = sessions.Wanted(("/bin/sh", "-c", terms.probe))
    deadline_ns = host.now_ns() + int(terms.patience_s * _NS)
    while True:
        status = sessions.execute(host, record._replace(phase="running"), wanted)
        if status == 0:
            return ""
        ended = host.runtime.wait(record.container_id, ending.process_of(record), 0)
        if ended is not None:
            return f"its first process ended with {ended} while it was probed"
        if host.now_ns() >= deadline_ns:
            return f"the probe ended with {status}"
        sleep(_BETWEEN_PROBES_SECONDS)
