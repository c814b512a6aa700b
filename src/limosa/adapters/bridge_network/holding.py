"""Which containers can be nowhere at the moment, so that what is sent to them is held.

What is lost instead is sent again only after TCP's retransmission timer, which doubles each time: a client would wait
up to twice as long as the container stands still.
"""

from contextlib import suppress

from limosa.linux import netlink_link as link
from limosa.model.container import Addresses
from limosa.model.hints import TYPE_CHECKING
from limosa.model.ids import ContainerId

if TYPE_CHECKING:
    from limosa.adapters.bridge_network.held_frames import HeldFrames


class Holding:
    """What is held for which container. All of it is lost with the process, and with it nothing but time."""

    def __init__(self) -> None:
        self._held: dict[ContainerId, HeldFrames] = {}
        self._given: list[HeldFrames] = []

    def begin(self, container_id: ContainerId, segment: link.Link, mac: str) -> None:
        """Hold what a bridge sees for a container from now on, where that can be."""
        if container_id in self._held:
            self.keep_newcomers(container_id)
        else:
            from limosa.adapters.bridge_network.held_frames import HeldFrames  # few commands hold anything

            with suppress(OSError):
                self._held[container_id] = HeldFrames(segment, mac)

    def keep_newcomers(self, container_id: ContainerId) -> None:
        """Forget what has come so far but for attempts to connect: the rest has arrived by itself."""
        if container_id in self._held:
            self._held[container_id].keep_newcomers()

    def announce(self, container_id: ContainerId, addresses: Addresses) -> None:
        """Let the segment send here what is for it, if it is held."""
        if container_id in self._held:
            with suppress(OSError):
                self._held[container_id].announce(addresses)

    def forward(self, container_id: ContainerId) -> None:
        """Send what is held to where the segment has the container now; it is kept, too."""
        if container_id in self._held:
            self._held[container_id].forward()

    def collect(self, container_id: ContainerId) -> None:
        """Say that its link is about to come up."""
        if container_id in self._held:
            self._held[container_id].collect()

    def give(self, container_id: ContainerId, interface: str) -> None:
        """Let it have everything, by the host's end of its link, which is up; nothing more is held."""
        held = self._held.pop(container_id, None)
        if held is not None:
            held.give(interface)
            self._given.append(held)  # closing takes longer than the rest of a container's way back

    def drop(self, container_id: ContainerId) -> None:
        """Hold nothing for it any more."""
        held = self._held.pop(container_id, None)
        for one in [*self._given, *filter(None, [held])]:
            one.close()
        self._given.clear()
