"""The devices of the host that a container can be given by `--device`."""

from limosa.model.hints import Final

DEVICES: Final = {
    "tun": ("/dev/net/tun", 10, 200),
    "fuse": ("/dev/fuse", 10, 229),
    "kvm": ("/dev/kvm", 10, 232),
}
"""Name -> path, major and minor number. None of them lets a container reach what is not its own."""
