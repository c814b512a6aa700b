"""Connections that no program has accepted: criu leaves them out of a dump, and their clients are told a reset later.

So for the last moment before a dump nobody new is let in, while the container accepts who is there. The rule is on the
host's end of its link, in a table that belongs to this process's connection to nftables: its end takes the rule away.
Source: nft(8), `flags owner` (Linux 5.12), the egress hook of a device (5.16); criu(8), --skip-in-flight.
"""

import time

from limosa.linux import namespaces, sock_diag
from limosa.linux.nftables import Nft
from limosa.model.hints import Final

_LOOK_S: Final = 0.002
_RULES: Final = """\
table netdev newcomers_{interface} {{
    flags owner;
    chain in {{
        type filter hook egress device "{interface}" priority 0; policy accept;
        tcp flags & (fin | syn | rst | ack) == syn drop
    }}
}}
"""


class Gate:
    """No new connection gets into a network namespace by its link, from the gate's making to `open`."""

    def __init__(self, interface: str, namespace: int) -> None:
        """Close it. Raises: NftError, NftUnavailable: this kernel cannot; OSError."""
        self._packet_filter = Nft()
        try:
            self._packet_filter.run(_RULES.format(interface=interface))
            with namespaces.entered(namespace):
                self._diag = sock_diag.opened()
        except BaseException:
            self._packet_filter.close()
            raise

    def settled(self, wait_s: float) -> bool:
        """Wait until all that came have been accepted, and say whether it is so."""
        until = time.monotonic() + wait_s
        while sock_diag.unaccepted(self._diag):
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK_S)
        return True

    def open(self) -> None:
        """Let everybody in again."""
        self._packet_filter.close()
        self._diag.close()
