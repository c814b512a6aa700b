"""What the engine needs from a git repository. Nothing here touches a work tree or a branch unless it says so."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from limosa_slice.model.change import Entry, FileDelta


@dataclass(frozen=True, slots=True)
class Person:
    """An author: name, mail address and a date as git takes it in GIT_AUTHOR_DATE."""

    name: str
    mail: str
    date: str


@dataclass(frozen=True, slots=True)
class PastCommit:
    """A commit of the history, for mining: its title, how many lines it changed, the paths it touched."""

    title: str
    paths: tuple[str, ...]
    lines: int


class Repository(Protocol):
    """Objects, trees and history of one repository."""

    def resolve(self, revision: str) -> str:
        """Return the commit id of `revision`. Raises: SliceError LIM-SLICE-010: there is none."""

    def tree_of(self, revision: str) -> str:
        """Return the tree id of a commit or tree. Raises: SliceError LIM-SLICE-010."""

    def deltas(self, old_tree: str, new_tree: str) -> list[FileDelta]:
        """Return what differs, with renames detected and -U0 hunks for text. Source: git-diff-tree(1)."""

    def blob(self, oid: str) -> bytes:
        """Return the bytes of a blob. Raises: SliceError LIM-SLICE-011: it is missing (a shallow or partial clone)."""

    def write_blobs(self, contents: Sequence[bytes]) -> list[str]:
        """Store `contents` and return their object ids, in order."""

    def write_tree(self, start_tree: str, updates: Mapping[str, Entry | None]) -> str:
        """Return the tree that `start_tree` becomes when each path gets its entry, or is removed where it is None."""

    def commit(self, tree: str, parent: str, message: str, author: Person | None) -> str:
        """Store a commit and return its id. No ref moves."""

    def author_of(self, commit: str) -> Person | None:
        """Return who wrote `commit`."""

    def range_commits(self, base: str, head: str) -> list[str]:
        """Return the commits of base..head without merges, oldest first."""

    def message_of(self, commit: str) -> str:
        """Return the message of `commit`."""

    def history(self, revision: str, limit: int) -> list[PastCommit]:
        """Return up to `limit` commits without merges that lead to `revision`, newest first.

        The lines of all but the newest few hundred are not counted, and 0.
        """

    def tree_of_patch(self, base_tree: str, patch: bytes) -> str:
        """Return the tree after `patch` (a diff or a mailbox) is applied.

        Raises: SliceError LIM-SLICE-012: it does not apply to `base_tree`.
        """

    def set_branch(self, name: str, commit: str, *, force: bool) -> None:
        """Point branch `name` at `commit`. Raises: SliceError LIM-SLICE-013: it exists and `force` is not given."""

    def format_patch(self, base: str, head: str, directory: str) -> list[str]:
        """Write base..head as mails that `git am --keep-cr` takes back to the byte; return the file names."""

    def apply_mail(self, base: str, mails: Sequence[str]) -> str:
        """Return the tree that `git am --keep-cr` makes of `mails` on `base`, in a place of its own.

        Raises: SliceError LIM-SLICE-014: git am refused.
        """

    def diff_text(self, old_tree: str, new_tree: str, *, stat_only: bool = False) -> bytes:
        """Return the difference as a reader expects it, or only which files it touches and how much."""

    def read_path(self, tree: str, path: str) -> bytes | None:
        """Return the bytes of `path` in `tree`, or None."""
