"""From a planned series to commits, with the proof that their sum is the input."""

from collections.abc import Sequence
from dataclasses import dataclass

from limosa_slice.engine.compose import Composer
from limosa_slice.model.errors import SliceError
from limosa_slice.model.series import Slice
from limosa_slice.ports.repository import Person, Repository


@dataclass(frozen=True, slots=True)
class Written:
    """The commits of a series, oldest first; `slices` are those that became commits."""

    commits: tuple[str, ...]
    slices: tuple[Slice, ...]


def write(
    repository: Repository,
    composer: Composer,
    base: str,
    slices: Sequence[Slice],
    messages: Sequence[str],
    author: Person | None,
) -> Written:
    """Return the series as commits on `base`; no ref moves.

    Raises: SliceError LIM-SLICE-021: the last tree is not the input's.
    """
    applied: frozenset[int] = frozenset()
    parent, tree = base, composer.change.base_tree
    commits, kept = [], []
    for item, message in zip(slices, messages, strict=True):
        applied |= set(item.atoms)
        after = composer.tree(applied)
        if after == tree:
            continue
        parent, tree = repository.commit(after, parent, message, author), after
        commits.append(parent)
        kept.append(item)
    if tree != composer.change.head_tree:
        raise SliceError("LIM-SLICE-021", "the series does not add up to the input", hint="this is a bug; report it")
    return Written(tuple(commits), tuple(kept))
