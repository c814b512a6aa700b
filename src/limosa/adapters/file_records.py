"""The `ContainerRecords` port over plain files.

<root>/containers/<id>/record.json   one container; `lock` beside it
                       passing.json  instead, of a container that goes with its program (`--rm`)
<root>/names/<name>                  the id that has the name
<root>/id-ranges/<slot>              the id that has host ids FIRST + slot * 65536 and up

A record survives a loss of power, one in passing.json need not: its program is gone then, and so may be what the file
says. Whatever cannot be read there counts as no record, so `recover` removes what belongs to it (docs/adr/0015).
"""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from limosa.linux import atomic_file, files, flock
from limosa.model import codec, json_text
from limosa.model.container import FIRST_HOST_ID, SUBORDINATE_IDS, ContainerRecord
from limosa.model.errors import LimosaError, words_of
from limosa.model.hints import Final
from limosa.model.ids import ContainerId, looks_like_id

_SLOTS: Final = 16384
_AT_WORK: Final = ("creating", "starting", "stopping", "removing")
_LATE_OPENERS: Final = 100
_CLAIM_BYTES: Final = 4096
_RECORD: Final = "record.json"
_PASSING: Final = "passing.json"


class FileContainerRecords:
    """Containers as files."""

    def __init__(self, root: str) -> None:
        self._containers = f"{root}/containers"
        self._names = f"{root}/names"
        self._ranges = f"{root}/id-ranges"

    def _directory(self, container_id: str) -> str:
        return f"{self._containers}/{container_id}"

    def add(self, record: ContainerRecord) -> None:
        """See the port."""
        directory = self._directory(record.container_id)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        self.save(record)
        try:
            _claim(self._names, record.config.name, record.container_id)
        except FileExistsError as taken:
            self._unlink(record.container_id)
            raise _name_in_use(record.config.name) from taken

    def save(self, record: ContainerRecord) -> None:
        """See the port."""
        text = json_text.dumps(codec.to_jsonable(record))  # an indented one is not made by the encoder in C
        directory = self._directory(record.container_id)
        path, passing = f"{directory}/{_RECORD}", f"{directory}/{_PASSING}"
        # What is moved to another host has to be known again whatever happens, and stays so.
        if record.config.remove_when_stopped and record.phase != "migrating" and not os.path.exists(path):
            atomic_file.replace(passing, text.encode(), lasting=False, locked=True)
        else:
            # After a power loss no command is at work: an older phase is as good, and saves a disk's wait.
            atomic_file.replace(path, text.encode(), name_too=record.phase not in _AT_WORK)
            files.remove_file(passing)

    def _unlink(self, container_id: str) -> None:
        for name in (_RECORD, _PASSING):
            files.remove_file(f"{self._directory(container_id)}/{name}")

    def rename(self, record: ContainerRecord, name: str) -> ContainerRecord:
        """See the port."""
        if _content(f"{self._names}/{name}") != record.container_id:  # else a rename that was killed has taken it
            try:
                _claim(self._names, name, record.container_id)
            except FileExistsError as taken:
                raise _name_in_use(name) from taken
        before = record.config.name
        record = record._replace(config=record.config._replace(name=name))
        self.save(record)
        os.unlink(f"{self._names}/{before}")
        return record

    def load(self, container_id: ContainerId) -> ContainerRecord:
        """See the port."""
        path = f"{self._directory(container_id)}/{_RECORD}"
        try:
            return _read(path)
        except FileNotFoundError:
            pass
        except ValueError as damaged:
            raise LimosaError(
                "LIM-NAME-005", f"the record {path} is damaged", cause=words_of(damaged), hint="limosa recover"
            ) from damaged
        try:
            return _read(f"{self._directory(container_id)}/{_PASSING}")
        except (FileNotFoundError, ValueError) as missing:
            raise _no_such(container_id) from missing

    def _is_known(self, container_id: str) -> bool:
        if os.path.exists(f"{self._directory(container_id)}/{_RECORD}"):
            return True
        try:
            _read(f"{self._directory(container_id)}/{_PASSING}")
        except (FileNotFoundError, ValueError):
            return False
        return True

    def find(self, reference: str) -> ContainerRecord:
        """See the port."""
        if "/" not in reference and reference not in ("", ".", ".."):
            try:
                with open(f"{self._names}/{reference}", encoding="utf-8") as file:
                    named = self.load(ContainerId(file.read()))
                if named.config.name == reference:  # else a rename was killed half-way
                    return named
            except FileNotFoundError:
                pass
        return self.load(ContainerId(_abbreviated(self._containers, reference, "container")))

    def all(self) -> list[ContainerRecord]:
        """See the port."""
        found = []
        for name in files.names_in(self._containers):
            try:
                found.append(self.load(ContainerId(name)))
            except LimosaError as gone:
                if gone.code != "LIM-NAME-003":
                    raise
        return sorted(found, key=lambda record: record.created_ns)

    def remove(self, container_id: ContainerId) -> None:
        """See the port."""
        for base in (self._names, self._ranges):
            for name in files.names_in(base):
                if _content(f"{base}/{name}") == container_id:
                    files.remove_file(f"{base}/{name}")
        # The record goes first: what is left of a directory without one belongs to nobody, see `sweep_strays`.
        self._unlink(container_id)
        for _ in range(_LATE_OPENERS):
            try:
                return files.remove_tree(self._directory(container_id))
            except OSError as late:
                # Another command came for the lock after our look into the directory; it will find no record.
                if late.errno != errno.ENOTEMPTY:
                    raise
        return None

    @contextmanager
    def locked(self, container_id: ContainerId, *, create: bool = False, wait: bool = True) -> Iterator[None]:
        """See the port."""
        directory = self._directory(container_id)
        with ExitStack() as held:
            while create:  # until the file is still there when it is locked: `sweep_strays` may have been at work
                os.makedirs(directory, mode=0o700, exist_ok=True)
                try:
                    held.enter_context(flock.locked(f"{directory}/lock"))
                except FileNotFoundError:
                    continue
                if os.path.exists(f"{directory}/lock"):
                    break
                held.pop_all().close()
            if not create:
                try:
                    held.enter_context(flock.locked(f"{directory}/lock", blocking=wait))
                except FileNotFoundError as missing:
                    raise _no_such(container_id) from missing
            yield

    @contextmanager
    def watched(self, container_id: ContainerId) -> Iterator[None]:
        """See the port."""
        with ExitStack() as held:
            try:
                held.enter_context(flock.locked(self._watchers(container_id), exclusive=False))
            except FileNotFoundError as missing:
                raise _no_such(container_id) from missing
            yield

    def _watchers(self, container_id: ContainerId) -> str:
        return f"{self._directory(container_id)}/watchers"

    def unwatched(self, container_id: ContainerId) -> None:
        """See the port."""
        try:
            with flock.locked(self._watchers(container_id)):
                return
        except FileNotFoundError:
            return

    def is_watched(self, container_id: ContainerId) -> bool:
        """See the port."""
        try:
            with flock.locked(self._watchers(container_id), blocking=False):
                return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False

    def sweep(self, container_id: ContainerId) -> None:
        """See the port."""
        directory = self._directory(container_id)
        for name in files.names_in(directory):
            if name.endswith(".new"):
                files.remove_file(f"{directory}/{name}")
        for base in (self._names, self._ranges):
            files.remove_file(f"{base}/.{container_id}")
        record = self.load(container_id)
        name = record.config.name
        _claim_again(self._names, name, container_id)
        if record.first_host_id:
            slot = (record.first_host_id - FIRST_HOST_ID) // SUBORDINATE_IDS
            _claim_again(self._ranges, str(slot), container_id)
        for other in files.names_in(self._names):  # of a rename that was killed half-way
            if other != name and _content(f"{self._names}/{other}") == container_id:
                files.remove_file(f"{self._names}/{other}")

    def sweep_strays(self) -> list[str]:
        """See the port."""
        lines = []
        for name in files.names_in(self._containers):
            directory = self._directory(name)
            if self._is_known(name):
                continue
            try:
                with flock.locked(f"{directory}/lock"):  # waits for one that is just being made
                    if not self._is_known(name):
                        files.remove_tree(directory)
                        lines.append(f"removed the files of {name}, which has no record")
            except FileNotFoundError:
                continue
        for base in (self._names, self._ranges):
            for name in files.names_in(base):
                owner = name.removeprefix(".") if name.startswith(".") else _content(f"{base}/{name}")
                if not owner or not os.path.isdir(self._directory(owner)):
                    files.remove_file(f"{base}/{name}")
                    lines.append(f"gave back {os.path.basename(base)}/{name}, whose container is gone")
        return lines

    def take_id_range(self, container_id: ContainerId) -> int:
        """See the port."""
        used = set(files.names_in(self._ranges))
        for slot in range(_SLOTS):
            if str(slot) in used:
                continue
            try:
                _claim(self._ranges, str(slot), container_id)
            except FileExistsError:
                continue
            if os.path.exists(f"{self._directory(container_id)}/{_RECORD}"):
                # Its record comes back after a power loss, and nobody looks through records for ranges. The file's
                # content need not be there: an empty one is nobody else's either, until `sweep` has mended it.
                files.sync_directory(self._ranges)
            return FIRST_HOST_ID + slot * SUBORDINATE_IDS
        raise LimosaError("LIM-NAME-006", "no range of host ids is left", hint="remove containers")


def _read(path: str) -> ContainerRecord:
    """Return the record in a file. Raises: FileNotFoundError; ValueError: it holds none."""
    with open(path, encoding="utf-8") as file:
        return codec.from_jsonable(ContainerRecord, json_text.loads(file.read()))


def _content(path: str) -> str:
    """Return what is in a small file; "" if there is none. Without a file object: `remove` reads hundreds of them."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        return os.read(descriptor, _CLAIM_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)


def _claim(directory: str, name: str, owner: str, *, torn: bool = False) -> None:
    """Make `directory/name` with `owner` in it, whole from the first moment, also in the place of one that is `torn`.

    Raises: FileExistsError: there is one, and not `torn`.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    unfinished = f"{directory}/.{owner}"
    with open(unfinished, "w", encoding="utf-8") as file:
        file.write(owner)
    if torn:
        os.rename(unfinished, f"{directory}/{name}")
        return
    try:
        os.link(unfinished, f"{directory}/{name}")
    finally:
        os.unlink(unfinished)


def _claim_again(directory: str, name: str, owner: str) -> None:
    """Make `directory/name` anew if a loss of power took it or what was in it. Nothing happens if it is another's."""
    try:
        _claim(directory, name, owner)
    except FileExistsError:
        if not looks_like_id(_content(f"{directory}/{name}")):
            _claim(directory, name, owner, torn=True)


def _abbreviated(directory: str, reference: str, what: str) -> str:
    if looks_like_id(reference):
        found = [name for name in files.names_in(directory) if name.startswith(reference) and not name.endswith(".new")]
        if len(found) == 1:
            return found[0]
        if found:
            code = "LIM-NAME-004" if what == "container" else "LIM-COMM-002"
            raise LimosaError(code, f"{reference!r} means {len(found)} {what}s", hint="give more digits of the id")
    if what == "container":
        raise _no_such(reference)
    raise LimosaError("LIM-COMM-001", f"there is no commit {reference!r}", hint="limosa log lists them")


def _no_such(reference: str) -> LimosaError:
    return LimosaError("LIM-NAME-003", f"there is no container {reference!r}", hint="limosa ps -a lists them")


def _name_in_use(name: str) -> LimosaError:
    return LimosaError(
        "LIM-NAME-002",
        f"the name {name!r} is in use",
        cause="another container has it",
        hint=f"limosa rm {name}, or choose another name",
    )
