"""Remove everything of a root that nobody needs."""

from limosa.engine import commits, images, lifecycle, volumes
from limosa.engine.host import Host
from limosa.model.hints import Final
from limosa.model.value import NamedTuple

_ABANDONED_NS: Final = 60 * 10**9


class SystemPruned(NamedTuple):
    """What was removed, a line each."""

    lines: tuple[str, ...]
    freed_bytes: int


def prune(host: Host, *, unused_images: bool, unused_volumes: bool) -> SystemPruned:
    """Remove stopped containers that have no commit, what no image needs, and the build cache; more when asked."""
    lines: list[str] = []
    committed = {commit.container.container_id for commit in commits.every(host)}
    before = sum(share.size_bytes for share in images.disk_use(host))
    for record in host.containers.all():
        idle = record.phase == "stopped" or (
            record.phase == "created" and host.now_ns() - record.created_ns > _ABANDONED_NS  # else `run` may start it
        )
        if idle and record.container_id not in committed:
            lifecycle.remove(host, record.container_id)
            lines.append(f"removed the container {record.config.name}")
    done = images.prune(host, unused_too=unused_images, build_cache=True)
    lines += [f"removed the image {reference}" for reference in done.references]
    if unused_volumes:
        lines += [f"removed the volume {name}" for name in volumes.prune(host)]
    after = sum(share.size_bytes for share in images.disk_use(host))
    return SystemPruned(tuple(lines), max(done.freed_bytes, before - after))
