"""The root file systems of the end-to-end tests."""

from tests.e2e.conftest import postgresql_rootfs, python_rootfs

__all__ = ["postgresql_rootfs", "python_rootfs"]
