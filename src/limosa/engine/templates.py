"""Images of system containers from a distribution's packages."""

from collections.abc import Callable

from limosa.engine.host import Host
from limosa.ports.oci_images import OciImage, Progress


def build(host: Host, name: str, reference: str, log: Callable[[str], None], progress: Progress) -> OciImage:
    """Build the template `name` and take it in as `reference` ("" for its own name).

    Raises: LimosaError LIM-IMG-009, LIM-IMG-010, LIM-IMG-004; nothing is kept then.
    """
    template = host.templates.find(name)
    with host.oci_images.workspace() as directory:
        archive = f"{directory}/rootfs.tar"
        host.templates.build(template, archive, log)
        return host.oci_images.import_archive(archive, reference or template.reference, progress, template.run)
