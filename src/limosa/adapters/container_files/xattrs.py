"""Extended attributes in a tar archive."""

from collections.abc import Mapping
from typing import Final

RECORD: Final = "SCHILY.xattr."
USERS: Final = "user."
_ACCESS_LISTS: Final = "system.posix_acl_"
_CAPABILITIES: Final = "security.capability"
PREFIXES: Final = (USERS, _ACCESS_LISTS, _CAPABILITIES)


def taken(records: Mapping[str, str], *, owners: bool, trusted: bool) -> dict[str, bytes]:
    """Return the attributes that a file gets, by name, of the records of its header in the archive.

    Access lists name users, and capabilities make a program of its owner's somebody else's: both come with the
    `owners` only, and no container gives capabilities to files of the host.
    """
    prefixes = [USERS, *([_ACCESS_LISTS] if owners else []), *([_CAPABILITIES] if owners and trusted else [])]
    found = {}
    for record, value in records.items():
        name = record.removeprefix(RECORD)
        if name != record and name.startswith(tuple(prefixes)):
            found[name] = value.encode("utf-8", "surrogateescape")
    return found
