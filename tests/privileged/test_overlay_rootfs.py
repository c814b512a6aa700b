"""Root file systems of many layers, and of what a layer must not bring."""

import os
import stat

import pytest

from limosa.adapters.overlay_rootfs import OverlayRootfs
from limosa.linux import mount
from limosa.model.ids import ContainerId
from limosa.ports.storage import WritableFiles

pytestmark = pytest.mark.privileged
CONTAINER = ContainerId("ab" * 12)


@pytest.fixture
def place(tmp_path: object, no_residue: None) -> str:
    """A directory whose path alone is longer than a mount option may be."""
    del no_residue
    path = f"{tmp_path}/" + "/".join(["long" * 20] * 3)
    for name in ("upper", "work"):
        os.makedirs(f"{path}/files/{name}")
    os.chmod(str(tmp_path), 0o755)
    return path


def layers(place: str, count: int) -> tuple[str, ...]:
    made = []
    for number in range(count):
        made.append(f"{place}/layer{number}")
        os.mkdir(made[-1])
        for name in (f"only{number}", "all"):
            with open(f"{made[-1]}/{name}", "w", encoding="ascii") as file:
                file.write(str(number))
    return tuple(made)


@pytest.mark.parametrize("first_host_id", [0, 1 << 29])
def test_a_hundred_layers_and_long_paths(place: str, first_host_id: int) -> None:
    rootfs = OverlayRootfs(place)
    writable = WritableFiles(f"{place}/files/upper", f"{place}/files/work")
    here = os.getcwd()
    try:
        root = rootfs.mount(CONTAINER, layers(place, 100), writable, first_host_id)
        assert os.getcwd() == here
        assert len(os.listdir(root)) == 101
        assert rootfs.read(CONTAINER, "/all") == b"99", "the last layer is the highest"
        assert os.stat(f"{root}/only0").st_uid == first_host_id
    finally:
        rootfs.unmount(CONTAINER)


def test_a_device_node_of_a_layer_cannot_be_used(place: str) -> None:
    rootfs = OverlayRootfs(place)
    (layer,) = layers(place, 1)
    os.mknod(f"{layer}/zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    try:
        root = rootfs.mount(CONTAINER, (layer,), WritableFiles(f"{place}/files/upper", f"{place}/files/work"), 1 << 29)
        with pytest.raises(PermissionError), open(f"{root}/zero", "rb"):
            pass
    finally:
        rootfs.unmount(CONTAINER)


def test_a_number_that_a_file_system_has_elsewhere_is_waited_for_only_if_that_may_be_going(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Waited(Exception):
        pass

    def wait(seconds: float) -> None:
        raise Waited

    rootfs, lower = OverlayRootfs(place), layers(place, 1)
    monkeypatch.setattr("limosa.adapters.overlay_rootfs.time.sleep", wait)
    monkeypatch.setattr("limosa.adapters.overlay_rootfs._PATIENCE_S", 1000.0)
    held = mount.make_filesystem("tmpfs", ())  # as one of another mount namespace: it is in no mount table here
    try:
        number = os.fstat(held).st_dev
        writable = WritableFiles(f"{place}/files/upper", f"{place}/files/work")
        rootfs.mount(CONTAINER, lower, writable, 0, number, awaited=False)
        assert rootfs.device_number(CONTAINER) != number
        rootfs.unmount(CONTAINER)
        with pytest.raises(Waited):
            rootfs.mount(CONTAINER, lower, writable, 0, number, awaited=True)
    finally:
        os.close(held)
        rootfs.unmount(CONTAINER)


def test_a_tree_is_on_the_device_that_it_was_on_unless_somebody_has_it(place: str) -> None:
    rootfs, other = OverlayRootfs(place), ContainerId("cd" * 12)
    lower = layers(place, 1)
    writable = WritableFiles(f"{place}/files/upper", f"{place}/files/work")
    beside = WritableFiles(f"{place}/other/upper", f"{place}/other/work")
    os.makedirs(beside.upper)
    os.makedirs(beside.work)
    try:
        rootfs.mount(CONTAINER, lower, writable, 0)
        for _ in range(10):  # what else is mounted on this machine meanwhile may take the number
            number = rootfs.device_number(CONTAINER)
            rootfs.mount(other, lower, beside, 0, number)
            assert rootfs.device_number(other) != number
            rootfs.unmount(CONTAINER)
            rootfs.mount(CONTAINER, lower, writable, 0, number)
            rootfs.unmount(other)
            if rootfs.device_number(CONTAINER) == number:
                return
        raise AssertionError("it was never on the same device again")
    finally:
        rootfs.unmount(CONTAINER)
        rootfs.unmount(other)
