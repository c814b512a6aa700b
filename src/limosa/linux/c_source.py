"""Small parts in C that come as source: compiled once per machine, where there is a compiler."""

import os
from collections.abc import Sequence

from limosa.linux import process
from limosa.model.hints import Final

_STRICT: Final = ("-Wall", "-Wextra", "-Werror")


def made(directory: str, compiler: str, sources: Sequence[str], name: str, options: Sequence[str]) -> str:
    """Return the path of the program or library `name`, made of `sources` if it is not there; "" if that cannot be.

    It is in a directory below `directory` that is named after what it is made of, so a new version is made anew. The
    first of `sources` is compiled, the others are what that includes. `compiler` is a path, "" for none.
    """
    import zlib

    digest = zlib.crc32("\0".join(options).encode())
    for source in sources:
        with open(source, "rb") as file:
            digest = zlib.crc32(file.read(), digest)
    place = f"{directory}/{digest:08x}"
    if os.path.exists(f"{place}/{name}"):
        return f"{place}/{name}"
    if not compiler:
        return ""
    making = f"{place}/{name}.{os.getpid()}"
    try:
        os.makedirs(place, mode=0o755, exist_ok=True)
        process.run([compiler, *_STRICT, *options, "-o", making, sources[0]])
        os.replace(making, f"{place}/{name}")
    except (process.CommandFailed, OSError):
        return ""
    return f"{place}/{name}"
