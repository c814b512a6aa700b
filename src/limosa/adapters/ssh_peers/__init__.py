"""The `Peers` port over OpenSSH: docs/adr/0027."""

from limosa.adapters.ssh_peers.adapter import SshPeers

__all__ = ["SshPeers"]
