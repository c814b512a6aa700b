"""limosa slice: turns one huge change into an ordered series of small commits that build."""
