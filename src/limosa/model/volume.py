"""A named volume: files that outlive the containers that use them."""

from limosa.model.hints import Final, Literal
from limosa.model.value import NamedTuple

Policy = Literal["include", "exclude", "reference"]
"""What a commit of a container does with the volume: keep its files, leave them out, or only name it."""


POLICIES: Final[tuple[Policy, ...]] = ("include", "exclude", "reference")


class CommittedVolume(NamedTuple):
    """What a commit says of a volume of its container."""

    name: str
    policy: Policy
    created_ns: int = 0  # with the name: which volume it was


class Volume(NamedTuple):
    """What is known of a volume besides its files."""

    name: str
    created_ns: int
    policy: Policy = "include"
    labels: tuple[tuple[str, str], ...] = ()
    of: str = ""  # an anonymous one: the id of the container that it was made for
    filled: bool = False  # a container has had it: what its image has at that place is not copied any more
