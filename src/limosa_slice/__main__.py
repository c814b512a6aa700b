"""`python -m limosa_slice`."""

import sys

from limosa_slice.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
