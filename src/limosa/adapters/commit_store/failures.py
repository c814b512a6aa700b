"""The errors of the commit store, each with what a person can do."""

from limosa.model.commit_store import ObjectId
from limosa.model.errors import LimosaError


def damaged(object_id: ObjectId, why: str) -> LimosaError:
    """An object is there and cannot be read."""
    return LimosaError(
        "LIM-CSTORE-001",
        f"object {object_id.hex()[:12]} of the commit store is damaged",
        cause=why,
        hint="limosa verify says which commits it affects; fetch them again from another store, if one has them",
    )


def missing(object_id: ObjectId) -> LimosaError:
    """An object is needed and is not there."""
    return LimosaError(
        "LIM-CSTORE-002",
        f"object {object_id.hex()[:12]} is not in the commit store",
        cause="no pack has it",
        hint="limosa verify says which commits it affects; fetch them again from another store, if one has them",
    )


def not_a_store(root: str, why: str) -> LimosaError:
    """A directory is no store that this limosa can use."""
    return LimosaError("LIM-CSTORE-003", f"{root} is no commit store that can be used", cause=why)


def other_key(what: str) -> LimosaError:
    """Two stores do not share a key, so that their ids mean different things."""
    return LimosaError(
        "LIM-CSTORE-004",
        f"{what} belongs to hosts with another key",
        cause="ids are digests under the key of a group of hosts that trust each other",
        hint="push --init and fetch --init give a host without commits the other's key; or export --for-strangers",
    )


def no_such_commit(name: str, why: str) -> LimosaError:
    """A name leads to no commit, or to several."""
    return LimosaError("LIM-CSTORE-005", f"there is no commit {name!r}", cause=why, hint="limosa log lists commits")


def full(root: str) -> LimosaError:
    """The disk of the store is full."""
    return LimosaError(
        "LIM-CSTORE-006",
        "the commit store's disk is full",
        state="all commits made before are whole; nothing of this one was kept",
        cause=f"no space left for {root}",
        hint="limosa forget COMMIT, then limosa gc; or make space",
    )


def ref_moved(name: str) -> LimosaError:
    """A ref is not where the caller saw it."""
    return LimosaError(
        "LIM-CSTORE-007",
        f"{name} was moved by another command meanwhile",
        state="it stands where the other command put it",
        hint="look at it again and repeat",
    )


def bad_ref(name: str) -> LimosaError:
    """A ref cannot have that name."""
    return LimosaError(
        "LIM-CSTORE-008",
        f"{name!r} cannot be the name of a ref",
        cause="a ref is two or three names joined by '/', each of 1 to 63 letters, digits, '_', '.' or '-'",
        exit_status=2,
    )


def busy(what: str) -> LimosaError:
    """A collection cannot start, since commands are writing."""
    return LimosaError(
        "LIM-CSTORE-009",
        f"{what}: other commands are writing commits",
        cause="it needs the store for itself for a moment",
        hint="repeat it when they have ended",
    )


def malformed_pack(name: str, why: str) -> LimosaError:
    """A pack that came from elsewhere is not what the format says."""
    return LimosaError(
        "LIM-CSTORE-010",
        f"{name} cannot be taken into the commit store",
        state="nothing that came from it can be reached",
        cause=why,
        hint="transfer it again; if it stays so, its source is damaged",
    )


def named_by_ref(commit: ObjectId, name: str) -> LimosaError:
    """A commit cannot be forgotten, since a ref names it."""
    return LimosaError(
        "LIM-CSTORE-011",
        f"commit {commit.hex()[:12]} cannot be forgotten",
        cause=f"{name} names it",
        hint="remove the tag, or move the container to another commit, first",
    )
