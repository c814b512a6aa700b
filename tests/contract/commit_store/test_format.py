"""docs/format.md says enough to read a store: a reader that knows only the page finds all that was committed."""

import re
from typing import Any

from format_reader import Store
from scenes import PAGE_BYTES, commit, content, pages

from limosa.adapters.commit_store.store import DirectoryStore
from limosa.model.commit import CommitRecord
from limosa.model.container import ContainerConfig, ContainerRecord


def found(store: Store, commit_id: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return what `content` returns."""
    memory, files = bytearray(600 * PAGE_BYTES), {}
    for key, (attributes, data) in store.commit(commit_id)["entries"].items():
        if isinstance(data, dict):
            for number, page in data.items():
                if number < 600:
                    memory[number * PAGE_BYTES : (number + 1) * PAGE_BYTES] = page
        else:
            assert attributes == b"attributes"
            files[key.removeprefix(b"files/")] = data
    return bytes(memory), files


def test_a_store_is_read_by_the_page_alone(real: DirectoryStore) -> None:
    many = {b"%04d" % number: b"%d" % number * 20 for number in range(400)}  # more than a node has
    first = commit(real, {0: pages(0, 300), 9_000_000: pages(5000, 3)}, {b"big": b"1" * 60_000, **many})
    second = commit(real, {100: pages(1000, 20)}, {b"0007": None, b"new": b"2" * 300}, parent=first, when_ns=7)
    real.set_ref("tags/good", first, when_ns=9, why="tag")
    store = Store(real.parts.root)
    assert store.refs == {"containers/web": second, "tags/good": first}
    for one in (first, second):
        assert found(store, one) == content(real, one)
    said = store.commit(second)
    assert (said["parents"], said["created_ns"], said["attributes"]) == ([first], 7, {})
    far = store.commit(first)["entries"][b"memory/1"][1]
    assert far[9_000_002] == pages(5002, 1)


def test_a_store_of_which_a_collection_took_a_part_is_read(real: DirectoryStore) -> None:
    first = commit(real, {0: pages(0, 300)}, {b"f": b"1" * 60_000})
    second = commit(real, {0: pages(1000, 290)}, {b"g": b"2" * 300}, parent=first)
    real.forget([first])
    real.collect()
    assert found(Store(real.parts.root), second) == content(real, second)


def _rows(heading: str) -> set[str]:
    with open("docs/format.md", encoding="utf-8") as file:
        part = file.read().partition(f"\n### {heading}\n")[2].partition("\n## ")[0].partition("\n### ")[0]
    return {name for row in re.findall(r"^\| (.*?) \|", part, re.M) for name in re.findall(r"`([a-z_]+)`", row)}


def test_the_page_has_every_field_of_a_commits_description() -> None:
    said: Any = CommitRecord
    of_the_store = {"commit_id", "parent", "created_ns"}
    assert _rows("A commit's attributes") == set(said._fields) - of_the_store
    assert _rows("The container of a commit") == set(ContainerRecord._fields)
    assert _rows("What its owner asked for") == set(ContainerConfig._fields)
