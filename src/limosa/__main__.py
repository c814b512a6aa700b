"""The only exit point: an error becomes a message and an exit status."""

import gc
import os
import sys

_OBJECTS = 50_000
"""A command makes few objects and ends soon: with the usual 700, half of the collections would be for its imports."""


def main() -> None:
    """Run the command line of this process and exit with its status.

    Nothing has to be taken apart at the end, which would cost 5 ms: no command leaves anything to be done at exit.
    """
    gc.set_threshold(_OBJECTS)
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(descriptor)
        except OSError:  # closed by the caller: what is opened next must not become a standard stream
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(descriptor, "w" if descriptor else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    from limosa.cli import dispatch
    from limosa.model.errors import EXIT_FAILURE

    status = dispatch.run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):  # what was printed before an error; its reader may be gone by now
        try:
            stream.flush()
        except OSError:
            status = status or EXIT_FAILURE
    os._exit(status)


if __name__ == "__main__":
    main()
