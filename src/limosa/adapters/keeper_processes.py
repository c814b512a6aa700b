"""The `Keepers` port over pidfds."""

import os
import signal

from limosa.linux import process
from limosa.model.container import ProcessName
from limosa.model.ids import ContainerId


class KeeperProcesses:
    """Keepers that are `limosa internal-exited ID`, as the monitor starts them."""

    def __init__(self, command: tuple[str, ...]) -> None:
        """`command` gets the container's id appended."""
        self._command = command

    def this_process(self) -> ProcessName:
        """See the port."""
        return ProcessName(os.getpid(), process.start_ticks(os.getpid()))

    def alive(self, keeper: ProcessName) -> bool:
        """See the port."""
        return keeper.pid > 0 and process.alive(keeper.pid, keeper.start_ticks)

    def end(self, keeper: ProcessName) -> None:
        """See the port."""
        if keeper.pid in (0, os.getpid()):
            return
        try:
            descriptor = os.pidfd_open(keeper.pid)
        except ProcessLookupError:
            return
        try:
            # The descriptor came first: what is found alive under the number now is what it means.
            if self.alive(keeper):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(descriptor)

    def begin(self, container_id: ContainerId) -> None:
        """See the port."""
        null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        try:
            env = {"PATH": os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")}
            files = [(null, number) for number in range(3)]
            process.spawn((*self._command, container_id), env=env, files=files, session=True)
        finally:
            os.close(null)
