"""limosa logs"""

import argparse
import sys

from limosa import wiring

EXAMPLES = """\
examples:
  limosa logs web
  limosa logs --timestamps --tail 20 web"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("-t", "--timestamps", action="store_true")
    parser.add_argument("-n", "--tail", type=int, metavar="LINES")
    parser.add_argument("container", metavar="CONTAINER")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    record = host.containers.find(args.container)
    try:
        with open(host.runtime.log_path(record.container_id), encoding="utf-8", errors="replace") as file:
            lines = file.readlines()
    except FileNotFoundError:
        return 0
    for line in lines[-args.tail :] if args.tail else lines:
        # A line is: time, stream, F (whole) or P (a part of a longer one), and what was printed.
        when, stream, whole, text = line.rstrip("\n").split(" ", 3)
        target = sys.stderr if stream == "stderr" else sys.stdout
        print(f"{when} {text}" if args.timestamps else text, end="\n" if whole == "F" else "", file=target)
    return 0
