"""How a registry is to be spoken to: the options of everything that does."""

import argparse

from limosa.cli.values import yes_or_no
from limosa.ports.oci_images import Registry


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--tls-verify",
        nargs="?",
        type=yes_or_no,
        const=True,
        metavar="true|false",
        help="whether the certificate counts: true, but not on this machine",
    )
    parser.add_argument("--cert-dir", default="", metavar="DIR", help="further certificates: *.crt, *.cert, *.key")


def registry(args: argparse.Namespace) -> Registry:
    """Return what the options ask for."""
    return Registry(args.tls_verify, args.cert_dir)
