"""Templates: root file systems of system containers, made from a distribution's packages."""

from collections.abc import Callable

from limosa.model.hints import Protocol
from limosa.model.oci import RootfsConfig
from limosa.model.value import NamedTuple


class Template(NamedTuple):
    """What can be built: a name as typed ("debian:13"), the image it becomes, and how that image is run."""

    name: str
    reference: str  # "localhost/debian:13"
    run: RootfsConfig
    summary: str


class Templates(Protocol):
    """The templates that this machine can build."""

    def all(self) -> tuple[Template, ...]:
        """Return every template."""

    def find(self, name: str) -> Template:
        """Return the template called `name`. Raises: LimosaError LIM-IMG-009: there is none."""

    def build(self, template: Template, archive: str, log: Callable[[str], None]) -> None:
        """Make the root file system as a tar at `archive`, which does not exist yet; `log` gets what happens, by line.

        Raises: LimosaError LIM-IMG-010: packages cannot be fetched or installed; no `archive` is left then.
        """
