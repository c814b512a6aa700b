"""The `Networks` port over bridges, veth pairs and nftables, without a daemon and without starting a process."""

from limosa.adapters.bridge_network.adapter import BridgeNetworks

__all__ = ["BridgeNetworks"]
