"""Random histories of a real store against dicts: commits, tags, forgetting, collections, lost indexes, crashes."""

import os
import random
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule
from scenes import ZERO, content, page

from limosa.adapters.commit_store import pack
from limosa.adapters.commit_store.parts import create
from limosa.adapters.commit_store.store import DirectoryStore
from limosa.adapters.commit_store.transfer import DirectoryRemote
from limosa.model.commit_store import Commit, Entry, Inline, Manifest, ObjectId, Paged, PageMap
from limosa.model.errors import LimosaError

N_PAGES = 600
KEY = b"k" * 32
RUNS = st.lists(st.tuples(st.integers(0, N_PAGES - 80), st.integers(1, 80), st.integers(0, 9)), max_size=4)
FILES = st.dictionaries(
    st.sampled_from([b"a", b"b/c", b"b/d", b"etc/hosts"]),
    st.one_of(st.none(), st.binary(max_size=80), st.integers(1, 5).map(lambda number: bytes([number]) * 30_000)),
    max_size=3,
)


class Histories(RuleBasedStateMachine):
    commits = Bundle("commits")
    library = ""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.mkdtemp(prefix="limosat-store-")
        self.root = f"{self.place}/store"
        create(self.root, KEY)
        create(f"{self.place}/other", KEY)
        self.store = self._opened(self.root)
        self.memory: dict[ObjectId, tuple[bytes, ...]] = {}
        self.files: dict[ObjectId, dict[bytes, bytes]] = {}
        self.parents: dict[ObjectId, ObjectId | None] = {}
        self.tags: dict[str, ObjectId] = {}
        self.forgotten: set[ObjectId] = set()
        self.clock = 0

    def _opened(self, root: str) -> DirectoryStore:
        return DirectoryStore(root, library=lambda: self.library)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.place)

    def _known(self, commit: ObjectId) -> bool:
        """Whether a commit must be there: a tag names it or a descendant."""
        reachable: set[ObjectId | None] = set()
        for tagged in self.tags.values():
            one: ObjectId | None = tagged
            while one is not None:
                reachable.add(one)
                one = self.parents[one]
        return commit in reachable and commit not in self.forgotten

    def _write(
        self, parent: ObjectId | None, runs: list[tuple[int, int, int]], files: dict[bytes, bytes | None]
    ) -> ObjectId:
        self.clock += 1
        memory = list(self.memory[parent]) if parent else [ZERO] * N_PAGES
        now = dict(self.files[parent]) if parent else {}
        base, before = Manifest(), PageMap()
        if parent is not None:
            base = self.store.commit(parent).manifest
            with self.store.reading(parent) as reader:
                entry = reader.entry(b"memory/1")
                before = entry.content.pages
        writes = []
        end = 0
        for first, n_pages, seed in sorted(runs):
            start = max(first, end)
            end = max(start, min(first + n_pages, N_PAGES))
            data = [ZERO if seed == 0 else page(seed * 50 + step % 40) for step in range(end - start)]
            memory[start:end] = data
            if data:
                writes.append((start, b"".join(data)))
        with self.store.writing() as writer:
            pages = writer.put_pages(before, writes)
            edits: dict[bytes, Entry | None] = {b"memory/1": Entry(b"", Paged(pages))}
            for name, data in files.items():
                if data is None:
                    edits[b"files/" + name] = None
                    now.pop(name, None)
                else:
                    edits[b"files/" + name] = Entry(b"", Inline(data) if len(data) < 100 else writer.put_blob(data))
                    now[name] = data
            manifest = writer.put_entries(base, edits)
            made = writer.put_commit(Commit((parent,) if parent else (), manifest, self.clock))
            tag = f"tags/t{self.clock}"
            self.store.set_ref(tag, made, when_ns=self.clock, why="")
        self.tags[tag] = made
        self.memory[made], self.files[made], self.parents[made] = tuple(memory), now, parent
        return made

    @rule(target=commits, runs=RUNS, files=FILES)
    def commit_anew(self, runs: list[tuple[int, int, int]], files: dict[bytes, bytes | None]) -> ObjectId:
        return self._write(None, runs, files)

    @rule(target=commits, parent=commits, runs=RUNS, files=FILES)
    def commit_on_top(
        self, parent: ObjectId, runs: list[tuple[int, int, int]], files: dict[bytes, bytes | None]
    ) -> ObjectId:
        if not self._known(parent):
            return parent
        return self._write(parent, runs, files)

    @rule(runs=RUNS)
    def give_up(self, runs: list[tuple[int, int, int]]) -> None:
        with pytest.raises(KeyError), self.store.writing() as writer:
            writer.put_pages(PageMap(), [(0, b"".join(page(seed + n_pages) for _, n_pages, seed in runs))])
            writer.put_blob(b"nobody needs this" * 1000)
            raise KeyError

    @rule(commit=commits, last=st.booleans())
    def untag(self, commit: ObjectId, last: bool) -> None:
        for tag in [tag for tag, named in self.tags.items() if named == commit]:
            self.store.set_ref(tag, None, when_ns=self.clock, why="untag")
            del self.tags[tag]

    @rule(commit=commits)
    def forget(self, commit: ObjectId) -> None:
        if self._known(commit) and commit not in self.tags.values():
            self.store.forget([commit])
            self.forgotten.add(commit)

    @rule()
    def collect(self) -> None:
        self.store.collect(log_before_ns=self.clock + 1)

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self._opened(self.root)

    @rule(all_of_it=st.booleans())
    def lose_the_index(self, all_of_it: bool) -> None:
        self.store.close()
        if all_of_it:
            shutil.rmtree(f"{self.root}/index")
            os.mkdir(f"{self.root}/index")
        else:
            for name in os.listdir(f"{self.root}/index/pages"):
                os.unlink(f"{self.root}/index/pages/{name}")
        self.store = self._opened(self.root)

    @rule(data=st.binary(min_size=1, max_size=300), whole=st.booleans())
    def die_while_appending(self, data: bytes, whole: bool) -> None:
        self.store.close()
        for name in list(pack.names(f"{self.root}/packs"))[:1]:
            with open(f"{self.root}/packs/{name}", "r+b") as file:
                head = file.read(400)
                file.seek(0, os.SEEK_END)
                file.write(head[64:] if whole else data)
        self.store = self._opened(self.root)

    @rule(commit=commits)
    def carry_there_and_back(self, commit: ObjectId) -> None:
        if not self._known(commit):
            return
        other = self._opened(f"{self.place}/other")
        self.store.push([commit], DirectoryRemote(other.parts), {"tags/x": commit}, when_ns=self.clock)
        self._same(other, commit)
        if random.Random(commit).random() < 0.5:
            other.collect(log_before_ns=self.clock + 1)
        assert other.verify().damages == ()
        path = f"{self.place}/file"
        other.export([commit], path)
        assert self.store.import_file(path) == [commit]
        os.unlink(path)
        self.store.set_ref(f"imported/{commit.hex()[:24]}", None, when_ns=self.clock, why="")
        other.close()

    def _same(self, store: DirectoryStore, commit: ObjectId) -> None:
        memory, files = content(store, commit, N_PAGES)
        assert memory == b"".join(self.memory[commit])
        assert files == self.files[commit]

    @rule(one=commits, other=commits)
    def compare(self, one: ObjectId, other: ObjectId) -> None:
        if not (self._known(one) and self._known(other)):
            return
        maps = []
        for commit in (one, other):
            with self.store.reading(commit) as reader:
                maps.append(reader.entry(b"memory/1").content.pages)
        found = {first + step for first, n in self.store.differing_pages(*maps) for step in range(n)}
        differ = {at for at in range(N_PAGES) if self.memory[one][at] != self.memory[other][at]}
        assert differ <= found
        keys = {
            key
            for key, _, _ in self.store.differing_entries(
                self.store.commit(one).manifest, self.store.commit(other).manifest
            )
        }
        old, new = self.files[one], self.files[other]
        assert keys - {b"memory/1"} == {
            b"files/" + name for name in old.keys() | new.keys() if old.get(name) != new.get(name)
        }

    @invariant()
    def everything_is_there(self) -> None:
        assert self.store.refs() == self.tags
        for commit in self.memory:
            if self._known(commit):
                self._same(self.store, commit)
            elif commit in self.forgotten:
                with pytest.raises(LimosaError), self.store.reading(commit):
                    pass
        assert self.store.verify().damages == ()


Histories.TestCase.settings = settings(
    max_examples=15, stateful_step_count=14, deadline=None, suppress_health_check=list(HealthCheck)
)
test_histories = Histories.TestCase


@pytest.fixture(scope="module", autouse=True)
def compiled(library: str) -> None:
    NativeHistories.library = library


class NativeHistories(Histories):
    """The same, with pages sorted in C."""


NativeHistories.TestCase.settings = Histories.TestCase.settings
test_native_histories = NativeHistories.TestCase


@pytest.mark.slow
class TestManyHistories(Histories.TestCase):
    settings = settings(
        max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )


@pytest.mark.slow
class TestManyNativeHistories(NativeHistories.TestCase):
    settings = TestManyHistories.settings
