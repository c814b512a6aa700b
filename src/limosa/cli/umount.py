"""limosa umount"""

import argparse
import os

from limosa import wiring
from limosa.engine import commit_mounts

EXAMPLES = """\
examples:
  limosa umount /mnt"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("directories", nargs="+", metavar="DIR")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    for directory in args.directories:
        commit_mounts.unmount(host, os.path.realpath(directory))
        print(directory)
    return 0
