"""limosa volume"""

import argparse
import time

from limosa import wiring
from limosa.cli import table, values
from limosa.engine import volumes
from limosa.engine.host import Host
from limosa.model import codec, json_text
from limosa.model.hints import Any
from limosa.model.volume import Volume

EXAMPLES = """\
examples:
  limosa volume create data
  limosa run -d -v data:/var/lib/redis redis
  limosa volume ls
  limosa volume inspect data
  limosa volume rm data
  limosa volume prune"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="volume_verb", required=True, metavar="create|ls|inspect|rm|prune")
    made = verbs.add_parser("create", help="make an empty volume and print its name")
    made.add_argument(
        "--commit",
        choices=("include", "exclude", "reference"),
        default="include",
        help="what a commit of a container does with it: keep its files, leave them out, or only name it",
    )
    made.add_argument("-l", "--label", action="append", default=[], type=values.label, metavar="KEY[=VALUE]")
    made.add_argument("name", nargs="?", default="", metavar="NAME", help="one is made up otherwise")
    listed = verbs.add_parser("ls", help="list volumes")
    listed.add_argument("-q", "--quiet", action="store_true", help="names only")
    listed.add_argument("--json", action="store_true")
    shown = verbs.add_parser("inspect", help="show everything about volumes, as JSON")
    shown.add_argument("--json", action="store_true", help="accepted: the answer is JSON anyway")
    shown.add_argument("names", nargs="+", metavar="NAME")
    removed = verbs.add_parser("rm", help="remove volumes that no container has")
    removed.add_argument("names", nargs="+", metavar="NAME")
    verbs.add_parser("prune", help="remove every volume that no container has")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.volume_verb == "create":
        print(volumes.create(host, args.name, args.commit, tuple(dict(args.label).items())).name)
    elif args.volume_verb == "rm":
        for name in args.names:
            volumes.remove(host, name)
            print(name)
    elif args.volume_verb == "prune":
        for name in volumes.prune(host):
            print(name)
    elif args.volume_verb == "inspect":
        host.storage.prepare()
        print(json_text.dumps([_everything(host, host.volumes.find(name)) for name in args.names], indent=1))
    else:
        _list(host, args)
    return 0


def _everything(host: Host, volume: Volume) -> dict[str, Any]:
    return {
        **codec.to_jsonable(volume),
        "directory": host.volumes.directory(volume.name),
        "used_bytes": host.volumes.used_bytes(volume.name),
        "containers": volumes.users(host).get(volume.name, []),
    }


def _list(host: Host, args: argparse.Namespace) -> None:
    found, having = host.volumes.all(), volumes.users(host)
    if args.json:
        listed = [{**codec.to_jsonable(one), "containers": having.get(one.name, [])} for one in found]
        print(json_text.dumps(listed, indent=1))
    elif args.quiet:
        for one in found:
            print(one.name)
    else:
        now_ns = time.time_ns()
        rows = [
            (one.name, one.policy, table.duration((now_ns - one.created_ns) / 1e9), ", ".join(having.get(one.name, [])))
            for one in found
        ]
        print(table.render(("NAME", "COMMIT", "AGE", "CONTAINERS"), rows))
