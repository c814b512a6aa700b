"""Whose commits are restored: this store's own, those that a trusted key signed, and those that somebody accepted."""

from limosa.engine.host import Host
from limosa.model import json_text, trust
from limosa.model.commit import CommitRecord
from limosa.model.commit_store import Commit, Signature
from limosa.model.errors import LimosaError
from limosa.ports.runtime import BundlePlan


def signature(host: Host, commit: Commit, data: bytes) -> Signature | None:
    """Return this host's signature for a commit that goes to strangers; None if it came from elsewhere itself.

    Raises: LimosaError LIM-TRUST-004.
    """
    return host.trust.sign(data) if _attributes(commit).get("origin", trust.OWN) == trust.OWN else None


def noted(host: Host, commit: Commit, data: bytes, *, accepted: bool) -> bytes:
    """Return the attributes of a commit that came from strangers, with who signed it in place of what they say of that.

    Raises: LimosaError LIM-TRUST-006: the signature is for something else; LIM-COMM-003: it says nothing of itself.
    """
    origin = trust.UNSIGNED
    if commit.signature is not None:
        if not host.trust.fits(data, commit.signature):
            raise LimosaError(
                "LIM-TRUST-006",
                "a commit is not what was signed",
                state="nothing was imported",
                cause="its signature does not fit: it, or the signature, was changed on the way",
                hint="get it again from who made it",
            )
        origin = trust.public_key(commit.signature.key)
    # Nor may it name a snapshot of this host's: its files are those that came along.
    import hashlib

    label = hashlib.sha256(data).hexdigest()[:24]
    said = {**_attributes(commit), "origin": trust.ACCEPTED if accepted else origin, "snapshot": label}
    return json_text.dumps(said).encode()


def _attributes(commit: Commit) -> dict[str, object]:
    try:
        said = json_text.loads(commit.attributes)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise LimosaError(
            "LIM-COMM-003",
            "a commit cannot be understood",
            cause="its description is not what this limosa writes",
            hint="a newer limosa may have written it",
        )
    return said


def require_trusted(host: Host, commit: CommitRecord) -> None:
    """Raise LimosaError LIM-TRUST-001 or -002 unless the commit may be restored here."""
    origin = commit.origin
    if origin in (trust.OWN, trust.ACCEPTED) or any(origin == known.key for known in host.trust.all()):
        return
    name = commit.commit_id[:12]
    if origin == trust.UNSIGNED:
        raise LimosaError(
            "LIM-TRUST-001",
            f"commit {name} is not restored: nobody signed it",
            state="nothing was restored",
            cause="it came from elsewhere, and criu, which is root, does what a commit says",
            hint="limosa import --trust takes it all the same, if you trust who gave it to you",
        )
    raise LimosaError(
        "LIM-TRUST-002",
        f"commit {name} is not restored: this host does not trust who signed it",
        state="nothing was restored",
        cause=f"the key is {trust.fingerprint(origin)}, and criu, which is root, does what a commit says",
        hint=f"if you trust it: limosa trust add NAME '{origin}'",
    )


def is_foreign(commit: CommitRecord) -> bool:
    """Say whether the commit's images have to be held against what limosa gives a container."""
    return commit.origin not in (trust.OWN, trust.ACCEPTED)


def require_confined(host: Host, commit: CommitRecord, plan: BundlePlan, criu_images: str) -> None:
    """Raise LimosaError LIM-CRIU-040 or -041 if a stranger's images hold more than limosa gives such a container."""
    allowance = host.runtime.allowance(plan)._replace(first_host_id=commit.container.first_host_id)
    host.checkpointer.require_confined(criu_images, allowance)
