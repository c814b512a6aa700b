"""Where slices are built and tested: git worktrees, or forks of a container."""

import argparse

from limosa_slice.adapters.forks import ForkWorkspace
from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.worktrees import WorktreeWorkspace
from limosa_slice.ports.workspace import Workspace


def workspace_of(options: argparse.Namespace, repository: GitRepository, base: str) -> Workspace:
    """Return the place that `--in` names; nothing is made in it before the first tree is tried."""
    if options.container == "none":
        return WorktreeWorkspace(repository, base, options.timeout, options.jobs)
    return ForkWorkspace(repository, base, options.container, options.timeout, options.jobs)
