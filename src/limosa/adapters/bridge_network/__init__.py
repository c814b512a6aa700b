"""The `Networks` port over bridges, veth pairs and nftables, without a daemon and without starting a process."""
