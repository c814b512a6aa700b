"""`--lazy` of restore, rewind and fork."""

from limosa.cli import arguments


def add(parser: arguments.Parser) -> None:
    """Add it; its value is a `Laziness`."""
    parser.add_argument(
        "--lazy",
        choices=("background", "demand", "off"),
        default="off",
        help="go on at once: memory comes when it is touched, the rest meanwhile, or never",
    )
