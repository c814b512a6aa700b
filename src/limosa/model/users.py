"""Who `-u` means, by the container's own /etc/passwd and /etc/group."""

from limosa.model.errors import EXIT_NOT_EXECUTABLE, LimosaError
from limosa.model.value import NamedTuple


class User(NamedTuple):
    """Ids inside the container."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"
    name: str = ""  # empty: the container has no account of that uid
    shell: str = ""


def resolved(text: str, passwd: str, group: str) -> User:
    """Return the user that "name", "uid", "name:group" or "uid:gid" means ("" is root).

    Raises: LimosaError LIM-RUN-005: there is no user or group of that name.
    """
    name, _, group_name = text.partition(":")
    accounts = [line.split(":") for line in passwd.splitlines() if line.count(":") >= 6]
    entry = next((item for item in accounts if name in (item[0], item[2]) or (not name and item[2] == "0")), None)
    if entry is not None:
        uid, gid, home = int(entry[2]), int(entry[3]), entry[5] or "/"
    elif name.isdigit() or not name:
        uid, gid, home = int(name or 0), 0, "/"
    else:
        raise _unknown("user", name)
    login, shell = (entry[0], entry[6].strip()) if entry is not None else ("", "")
    groups = [line.split(":") for line in group.splitlines() if line.count(":") >= 3]
    if group_name:
        found = next((int(item[2]) for item in groups if group_name in (item[0], item[2])), None)
        if found is None and not group_name.isdigit():
            raise _unknown("group", group_name)
        return User(uid, int(group_name) if found is None else found, (), home, login, shell)
    extra = tuple(int(item[2]) for item in groups if login and login in item[3].split(","))
    return User(uid, gid, extra, home, login, shell)


def _unknown(what: str, name: str) -> LimosaError:
    return LimosaError(
        "LIM-RUN-005",
        f"there is no {what} {name!r} in the container",
        cause=f"its /etc/{'passwd' if what == 'user' else 'group'} does not have it",
        hint="give a number, or add the account to the image",
        exit_status=EXIT_NOT_EXECUTABLE,
    )
