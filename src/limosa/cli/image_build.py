"""limosa image build"""

import argparse
import os

from limosa import wiring
from limosa.cli import registry_options, values
from limosa.cli.progress import ProgressLine
from limosa.model.errors import LimosaError
from limosa.ports.oci_images import BuildRequest

EXAMPLES = """\
examples:
  limosa image build -t web .
  limosa image build -t web:2 -f deploy/Containerfile --build-arg VERSION=2 ."""
_NAMES = ("Containerfile", "Dockerfile")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = parser.add_argument
    add("-t", "--tag", required=True, metavar="NAME")
    add("-f", "--file", default="", metavar="CONTAINERFILE", help="DIRECTORY/Containerfile, or …/Dockerfile")
    add("--build-arg", action="append", default=[], type=values.variable, metavar="NAME=VALUE")
    add("--label", action="append", default=[], type=values.label, metavar="KEY[=VALUE]")
    add("--target", default="", metavar="STAGE")
    add("--no-cache", action="store_true", help="do every step again")
    add("--pull", action="store_true", help="bring base images anew from their registries")
    add("-q", "--quiet", action="store_true", help="print nothing but the image's name")
    registry_options.configure(parser)
    add("context", metavar="DIRECTORY")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    request = BuildRequest(
        containerfile=args.file or _containerfile(args.context),
        context=args.context,
        reference=args.tag,
        build_args=tuple(args.build_arg),
        labels=tuple(args.label),
        target=args.target,
        use_cache=not args.no_cache,
        pull=args.pull,
        registry=registry_options.registry(args),
    )
    with ProgressLine(quiet=args.quiet) as line:
        made = host.oci_images.build(request, line.log, line.update)
    print(made.reference)
    return 0


def _containerfile(directory: str) -> str:
    for name in _NAMES:
        if os.path.exists(f"{directory}/{name}"):
            return f"{directory}/{name}"
    raise LimosaError(
        "LIM-IMG-005",
        f"cannot build from {directory}",
        cause=f"there is no {' and no '.join(_NAMES)} in it",
        hint="limosa image build -t NAME -f CONTAINERFILE DIRECTORY",
    )
