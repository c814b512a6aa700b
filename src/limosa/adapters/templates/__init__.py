"""Root file systems of system containers: Debian by mmdebstrap, busybox by hand."""

from collections.abc import Callable

from limosa.adapters.templates import busybox, debian
from limosa.linux import files
from limosa.model.errors import LimosaError, words_of
from limosa.ports.templates import Template


class BuiltTemplates:
    """The `Templates` port."""

    def __init__(self, program: Callable[[str], str]) -> None:
        """`program` finds an executable by its name."""
        self._program = program

    def all(self) -> tuple[Template, ...]:
        """See the port."""
        return (*(debian.template(suite) for suite in debian.SUITES), busybox.TEMPLATE)

    def find(self, name: str) -> Template:
        """See the port."""
        known = self.all()
        for template in known:
            if name in (template.name, template.reference):
                return template
        raise LimosaError(
            "LIM-IMG-009",
            f"there is no template {name!r}",
            hint="there are: " + ", ".join(template.name for template in known),
            exit_status=2,
        )

    def build(self, template: Template, archive: str, log: Callable[[str], None]) -> None:
        """See the port."""
        try:
            if template.name == busybox.TEMPLATE.name:
                busybox.build(archive, self._program("busybox"))
            else:
                debian.build(template, archive, self._program, log)
        except BaseException as failed:
            files.remove_file(archive)
            if isinstance(failed, (OSError, debian.BuildFailed)):
                raise LimosaError(
                    "LIM-IMG-010",
                    f"the template {template.name} cannot be built",
                    cause=words_of(failed),
                    hint="the Debian archive must be reachable (apt-get update shows it) and there must be disk space",
                ) from failed
            raise
