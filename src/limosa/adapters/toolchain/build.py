"""Build CRIU from its pinned source, in a throw-away Debian tree of the machine's own suite.

mmdebstrap makes the tree, runs the build in it and takes the result out, so no compiler and no header reaches the
machine itself.  The program comes with the libraries that it was linked with.
"""

import os
import shlex
from collections.abc import Callable
from typing import Final

from limosa.adapters.toolchain import archive
from limosa.linux import process
from limosa.model.value import NamedTuple
from limosa.ports.toolchain import ToolUnavailable


class Recipe(NamedTuple):
    """How one program is built: `commands` run in the unpacked source, `product` is the path of what they make."""

    packages: tuple[str, ...]
    commands: str
    product: str


_COMMON: Final = ("gcc", "libc6-dev", "make", "pkg-config", "python3-minimal", "xz-utils")
RECIPES: Final = {
    "criu": Recipe(
        (
            *_COMMON,
            *("git", "protobuf-c-compiler", "protobuf-compiler", "libprotobuf-dev", "libprotobuf-c-dev"),
            *(
                "libnl-3-dev",
                "libcap-dev",
                "libnet1-dev",
                "libbsd-dev",
                "libgnutls28-dev",
                "libnftables-dev",
                "uuid-dev",
            ),
        ),
        "make -j$(nproc) V=0 criu/criu",
        "criu/criu",
    ),
}
# Runs in the throw-away tree: unpack, build, collect the program and what the loader maps for it.
_SCRIPT: Final = """set -eu
mkdir -p /build/out/lib; cd /build; tar -xf source --strip-components=1
{commands}
install -s -D {product} /build/out/program
ldd {product} | while read -r name arrow path rest; do
    case $name in
    /*) cp -L "$name" /build/out/lib/ ;;
    linux-vdso*) ;;
    *) cp -L "$path" /build/out/lib/ ;;
    esac
done
tar -C /build/out -cf /build/product.tar .
"""


def build(name: str, source: str, work: str, report: Callable[[str], None]) -> None:
    """Build `name` from the tarball `source` and put the program and its libraries into `work`/out.

    Raises: ToolUnavailable: it does not compile here (the last lines of the build).
    """
    recipe = RECIPES[name]
    with open(f"{work}/build.sh", "w", encoding="utf-8") as file:
        file.write(_SCRIPT.format(commands=recipe.commands, product=recipe.product))
    product = f"{work}/product.tar"
    quoted = {key: shlex.quote(value) for key, value in {"source": source, "work": work, "product": product}.items()}
    argv = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        "--format=null",
        '--aptopt=APT::Install-Recommends "false"',
        f"--include={','.join(recipe.packages)}",
        '--customize-hook=mkdir -p "$1/build"',
        f'--customize-hook=cp {quoted["source"]} "$1/build/source"',
        f'--customize-hook=cp {quoted["work"]}/build.sh "$1/build/build.sh"',
        '--customize-hook=chroot "$1" sh /build/build.sh',
        f'--customize-hook=cp "$1/build/product.tar" {quoted["product"]}',
        archive.codename(),
        "/dev/null",
        archive.mirror(),
    ]
    report(f"building {name} from source in a {archive.codename()} tree; this takes minutes")
    said: list[str] = []
    if process.stream(argv, said.append, env={**os.environ, "TMPDIR": work}) != 0 or not os.path.exists(product):
        raise ToolUnavailable(f"{name} could not be built: " + " / ".join(said[-6:]))
    os.makedirs(f"{work}/out")
    process.run(["tar", "-C", f"{work}/out", "-xf", product])
