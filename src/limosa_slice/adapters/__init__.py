"""The world as the slicer's ports describe it: git, worktrees, tree-sitter."""
