"""What is recorded of networks, and what the kernel has counted: nothing that `inspect`, `port` and `stats` need loads
netlink, sockets and rules."""

from limosa.adapters.bridge_network.state import Book
from limosa.linux import net_counters
from limosa.model.ids import ContainerId
from limosa.ports.network import Attachment, Network


class RecordedNetworks:
    """The networks of the limosa host whose state is under `root`, as they are written down."""

    def __init__(self, root: str) -> None:
        self._book = Book(f"{root}/networks")

    def recorded(self) -> list[Network]:
        """See the port."""
        return self._book.read().networks()

    def attachment(self, container_id: ContainerId) -> Attachment | None:
        """See the port."""
        found = self._book.read().lease(container_id)
        return None if found is None else found.attachment

    def attachments(self) -> list[Attachment]:
        """See the port."""
        return [lease.attachment for lease in self._book.read().leases()]

    def traffic(self, init_pid: int) -> tuple[int, int]:
        """See the port."""
        return net_counters.traffic(init_pid)

    def retransmitted(self, init_pid: int) -> int:
        """See the port."""
        return net_counters.retransmitted(init_pid)
