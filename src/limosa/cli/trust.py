"""limosa trust"""

import argparse
import json
import os

from limosa import wiring
from limosa.cli import table
from limosa.model import codec

EXAMPLES = """\
examples:
  limosa trust key                     this host's own key, for others to trust
  limosa trust add alice 'ssh-ed25519 AAAAC3…'
  limosa trust add bob bob.pub
  limosa trust ls
  limosa trust rm bob
What `export --for-strangers` writes is signed with the host's key. Commits of a file are restored here if a trusted key
signed them; what criu gets of them is still held against what limosa gives a container."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    verbs = parser.add_subparsers(dest="trust_verb", required=True, metavar="key|add|ls|rm")
    verbs.add_parser("key", help="print this host's own public key")
    added = verbs.add_parser("add", help="restore commits that a key signed")
    added.add_argument("name", metavar="NAME")
    added.add_argument("key", metavar="KEY|FILE", help="a public key, or a file with one")
    listed = verbs.add_parser("ls", help="list the trusted keys")
    listed.add_argument("--json", action="store_true")
    removed = verbs.add_parser("rm", help="trust keys no more; what was restored already runs on")
    removed.add_argument("names", nargs="+", metavar="NAME")


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    host = wiring.host(wiring.root_of(args.root))
    if args.trust_verb == "key":
        print(host.trust.public_key())
    elif args.trust_verb == "add":
        print(host.trust.add(args.name, _key(args.key)).fingerprint)
    elif args.trust_verb == "rm":
        for name in args.names:
            host.trust.remove(name)
            print(name)
    elif args.json:
        print(json.dumps([codec.to_jsonable(one) for one in host.trust.all()], indent=1))
    else:
        print(table.render(("NAME", "KEY"), [(one.name, one.fingerprint) for one in host.trust.all()]))
    return 0


def _key(text: str) -> str:
    if " " in text or not os.path.isfile(text):
        return text
    with open(text, encoding="utf-8", errors="replace") as file:
        return file.read(1000)
