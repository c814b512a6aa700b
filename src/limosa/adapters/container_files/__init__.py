"""Files go through a pipe as a tar archive; the container's end is a process that is locked into the container.

Nothing of the container is resolved, read or written by a process that could reach the host: a link, a mount or a
directory that is replaced meanwhile lead to other places in the container at most.
"""

from limosa.adapters.container_files.adapter import JailedFiles

__all__ = ["JailedFiles"]
