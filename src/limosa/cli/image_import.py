"""limosa image import"""

import argparse

from limosa import wiring
from limosa.cli import image_change
from limosa.cli.progress import ProgressLine
from limosa.model.oci import RootfsConfig

EXAMPLES = """\
examples:
  limosa image import rootfs.tar.zst debian
  limosa image import saved-by-docker.tar web
  limosa image import --change CMD='["redis-server"]' --change USER=redis ./tree redis"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add(
        "-c",
        "--change",
        action="append",
        default=[],
        type=image_change.instruction,
        metavar="INSTRUCTION",
        help="CMD, ENTRYPOINT, ENV, LABEL, USER, WORKDIR, EXPOSE, VOLUME or STOPSIGNAL",
    )
    add("-q", "--quiet", action="store_true", help="print nothing but the image's name")
    add("path", metavar="ARCHIVE", help="a root file system (tar, or directory), a docker or an OCI archive")
    add("reference", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    with ProgressLine(quiet=args.quiet) as line:
        made = host.oci_images.import_archive(args.path, args.reference, line.update, changed(args.change))
    print(made.reference)
    return 0


def changed(changes: list[tuple[str, tuple[str, ...]]]) -> RootfsConfig:
    """Return what the instructions say together."""
    fields: dict[str, tuple[str, ...]] = {}
    for name, words in changes:
        several = name in ("env", "labels", "exposed_ports", "volumes")
        fields[name] = (*fields.get(name, ()), *words) if several else words
    pairs = {name: tuple(_pair(word) for word in fields.get(name, ())) for name in ("env", "labels")}
    one = {name: (fields.get(name) or ("",))[0] for name in ("user", "stop_signal")}
    return RootfsConfig(
        entrypoint=fields.get("entrypoint", ()),
        cmd=fields.get("cmd", ()),
        cwd=(fields.get("cwd") or ("/",))[0],
        exposed_ports=fields.get("exposed_ports", ()),
        volumes=fields.get("volumes", ()),
        env=pairs["env"],
        labels=pairs["labels"],
        **one,
    )


def _pair(word: str) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, value
