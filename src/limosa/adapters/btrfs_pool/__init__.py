"""The `Storage` port: one btrfs subvolume per container and per snapshot. See docs/adr/0006.

    <root>/pool.btrfs               a sparse file, where the root's own file system is not btrfs
    <root>/storage/                 the pool
        containers/<id>/            a subvolume: upper/ and work/ of the container's overlay,
                                    or, with a disk limit:
            disk.btrfs              a sparse file with a btrfs of exactly that size
            disk/                   where that is mounted: upper/ and work/
        snapshots/<id>/<label>/     read-only snapshots of these subvolumes, disks and all
        staging/<id>/               a subvolume being made; becomes containers/<id> in one step
        located/<id>                which boot's `locate` gave the files out, of a container without a disk
        disk-template.btrfs         an empty disk; new ones share its blocks

Files are owned by the container's inner ids; the mount maps them.
"""

from limosa.adapters.btrfs_pool.adapter import BtrfsPool

__all__ = ["BtrfsPool"]
