"""The `PageServers` port: a copy of the command's process that gives pages of a commit to those who touch them."""
