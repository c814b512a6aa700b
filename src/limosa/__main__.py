"""The only exit point: an error becomes a message and an exit status."""

import sys


def main() -> None:
    """Run the command line of this process and exit with its status."""
    from limosa.cli import dispatch

    sys.exit(dispatch.run(sys.argv[1:]))


if __name__ == "__main__":
    main()
