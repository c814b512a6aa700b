"""When a container whose program has ended is started again, and after which pause. Pure rules."""

from limosa.model import init
from limosa.model.container import ContainerConfig, ContainerRecord
from limosa.model.hints import Final

FIRST_DELAY_NS: Final = 100_000_000
LONGEST_DELAY_NS: Final = 60_000_000_000
STEADY_NS: Final = 10_000_000_000
"""A program that ran so long counts as one that works: the pauses begin anew. These three are docker's."""


def rebooted(config: ContainerConfig, status: int) -> bool:
    """Say whether the first process ended because of a reboot from inside: only a system container has an init.

    From no other cause does pid 1 end by SIGHUP or SIGINT: the kernel drops a signal that it has no handler for,
    whoever sends it, except SIGKILL and SIGSTOP from outside. What remains is an init that calls exit(129) itself.
    Source: pid_namespaces(7), reboot(2).
    """
    return config.kind == "system" and status == init.REBOOTED


def halted(config: ContainerConfig, status: int) -> bool:
    """Say whether it was halted or powered off from inside."""
    return config.kind == "system" and status == init.POWERED_OFF


def wanted(record: ContainerRecord, status: int) -> bool:
    """Say whether a container that ended with `status` is to be started again now."""
    if record.stopped_by_user:
        return False
    if rebooted(record.config, status):
        return True
    policy = record.config.restart
    if policy.when == "no" or record.config.remove_when_stopped:
        return False
    if policy.when == "on-failure":
        failed = status != 0 and not halted(record.config, status)
        return failed and (policy.max_retries is None or record.restarts < policy.max_retries)
    return True


def wanted_at_boot(record: ContainerRecord) -> bool:
    """Say whether a container is to be started when the machine has booted."""
    if record.moved_to:
        return False
    if record.config.onboot:
        return True
    if record.started_ns == 0:
        return False
    when = record.config.restart.when
    return when == "always" or (when == "unless-stopped" and not record.stopped_by_user)


def delay_ns(previous_ns: int, ran_ns: int) -> int:
    """Return the pause before the next start: doubled each time that the program did not run for STEADY_NS."""
    if previous_ns == 0 or ran_ns >= STEADY_NS:
        return FIRST_DELAY_NS
    return min(2 * previous_ns, LONGEST_DELAY_NS)
