"""What every commit store does, the real one and the fake."""

import os
from typing import Any

import pytest
from scenes import ZERO, Make, commit, content, opened, page, pages, remote_of

from limosa.adapters.commit_store.parts import adopt_key, create
from limosa.model.commit_store import Commit, Entry, Inline, Manifest, ObjectId, Paged, PageMap
from limosa.model.errors import LimosaError
from limosa.ports.commit_store import NewMap, Unread

pytestmark = pytest.mark.usefixtures("pages_in")

NOBODY = ObjectId(b"n" * 32)


def code(raised: pytest.ExceptionInfo[LimosaError]) -> str:
    return raised.value.code


def test_a_commit_comes_back_as_it_was(store: Any) -> None:
    memory = pages(0, 200) + ZERO * 50 + pages(300, 10)
    first = commit(store, {5: memory}, {b"etc/hosts": b"short", b"bin/sh": b"x" * 5000})
    found, files = content(store, first)
    assert found[5 * 4096 : 265 * 4096] == memory
    assert found[: 5 * 4096] == ZERO * 5 and found[265 * 4096 :] == ZERO * 335
    assert files == {b"etc/hosts": b"short", b"bin/sh": b"x" * 5000}
    assert store.commit(first) == Commit((), store.commit(first).manifest, 1, b"{}")


def test_a_second_commit_keeps_what_did_not_change(store: Any) -> None:
    first = commit(store, {0: pages(0, 300)}, {b"a": b"1", b"b": b"2" * 100})
    second = commit(store, {7: page(9000), 100: ZERO}, {b"a": None, b"c": b"3"}, parent=first)
    memory, files = content(store, second)
    expected = pages(0, 7) + page(9000) + pages(8, 92) + ZERO + pages(101, 199)
    assert memory[: 300 * 4096] == expected
    assert files == {b"b": b"2" * 100, b"c": b"3"}
    assert content(store, first)[0][: 300 * 4096] == pages(0, 300)
    changed = list(store.differing_entries(store.commit(first).manifest, store.commit(second).manifest))
    assert [key for key, _, _ in changed] == [b"files/a", b"files/c", b"memory/1"]
    before, after = changed[2][1:]
    assert list(store.differing_pages(before.content.pages, after.content.pages)) == [(7, 1), (100, 1)]


def test_pages_that_are_known_or_zero_cost_nothing(store: Any) -> None:
    with store.writing() as writer:
        one = writer.put_pages(PageMap(), [(0, pages(0, 130) + ZERO * 70)])
        seen = writer.stats()
        assert (seen.pages_seen, seen.pages_zero, seen.pages_new) == (200, 70, 130)
        same = writer.put_pages(one, [(0, pages(0, 130))])
        assert same == one
        assert writer.stats().pages_new == 130
        assert writer.put_pages(PageMap(), [(10, ZERO * 5)]) == PageMap()
        assert writer.put_pages(one, [], zero=[(0, 200)]) == PageMap()
        assert writer.put_pages(one, [(100, pages(100, 30))], zero=[(0, 500)]) != one


def test_buffers_may_be_of_any_kind_and_used_again(store: Any) -> None:
    buffer = bytearray(2 * 4096)

    def writes() -> Any:
        for first in (0, 10, 20):
            buffer[:] = pages(first, 2)
            yield first, memoryview(buffer)

    with store.writing() as writer:
        found = writer.put_pages(PageMap(), writes())
        manifest = writer.put_entries(Manifest(), {b"m": Entry(b"", Paged(found))})
        made = writer.put_commit(Commit((), manifest, 1))
        store.set_ref("tags/t", made, when_ns=1, why="")
    with store.reading(made) as reader:
        for first in (0, 10, 20):
            assert reader.read_pages(found, first, 2) == pages(first, 2)
        assert sum(run.n_pages for run in reader.page_runs(found)) == 6
        assert b"".join(reader.read_run(run) for run in reader.page_runs(found, 10, 12)) == pages(10, 2)


def unread(*runs: tuple[int, int], fails: type[Exception] | None = None) -> Unread:
    """Pages that have their numbers as content."""

    def read(into: memoryview) -> None:
        if fails is not None:
            raise fails("they are gone")
        into[:] = b"".join(pages(first, n_pages) for first, n_pages in runs)

    return Unread(runs, read)


def test_pages_are_read_when_it_is_their_turn(store: Any) -> None:
    plain = [
        (0, pages(0, 3)),
        (10, pages(10, 1)),
        (20, pages(20, 700)),
        (2000, pages(2000, 600)),
        (3000, pages(3000, 2)),
    ]
    later = [unread((0, 3), (10, 1), (20, 200)), unread((220, 256)), (476, pages(476, 244)), unread((2000, 256)),
             (2256, pages(2256, 344)), unread((3000, 1)), unread((3001, 1))]  # fmt: skip
    with store.writing() as writer:
        expected = writer.put_pages(PageMap(), plain)
        seen = writer.stats().pages_seen
        assert writer.put_pages(expected, later) == expected
        assert writer.stats().pages_seen == 2 * seen
        assert writer.stats().pages_new == seen


def test_many_maps_are_made_in_order(store: Any) -> None:
    sizes = [1, 70, 0, 256, 3, 900, 1] * 3

    def writes(size: int) -> Any:
        for first in range(0, size, 256):
            yield unread((first, min(256, size - first)))

    with store.writing() as writer:
        expected = [writer.put_pages(PageMap(), [(0, pages(0, size))]) for size in sizes]
        base = expected[5]
        maps = [NewMap(PageMap(), writes(size)) for size in sizes]
        maps.insert(4, NewMap(base, [unread((1, 1))], [(0, 890)]))
        made = list(writer.put_maps(iter(maps)))
        assert made.pop(4) == writer.put_pages(base, [(1, pages(1, 1))], [(0, 890)])
        assert made == expected
        writer.rest()
        assert list(writer.put_maps([])) == []
        assert writer.put_pages(PageMap(), writes(900)) == expected[5]


@pytest.mark.parametrize("at", [0, 1, 9])
def test_what_a_read_raises_ends_the_map_and_nothing_else(store: Any, at: int) -> None:
    maps = [NewMap(PageMap(), [unread((0, 200)), unread((200, 100))]) for _ in range(12)]
    maps[at] = NewMap(PageMap(), [unread((1, 1)), unread((3, 1), fails=KeyError)])
    with store.writing() as writer:
        made = writer.put_maps(maps)
        whole = [next(made) for _ in range(at)]
        with pytest.raises(KeyError):
            next(made)
        again = writer.put_pages(PageMap(), [(0, pages(0, 300))])
        assert whole == [again] * at
        manifest = writer.put_entries(Manifest(), {b"m": Entry(b"", Paged(again))})
        commit = writer.put_commit(Commit((), manifest, 1))
        store.set_ref("tags/t", commit, when_ns=1, why="")
    with store.reading(commit) as reader:
        assert reader.read_pages(again, 0, 300) == pages(0, 300)


def test_a_map_may_be_left_before_its_end(store: Any) -> None:
    closed = []

    def maps() -> Any:
        try:
            while True:
                yield NewMap(PageMap(), [unread((0, 256))])
        finally:
            closed.append(True)

    with store.writing() as writer:
        made = writer.put_maps(maps())
        assert next(made) == next(made)
        made.close()
        assert writer.put_pages(PageMap(), [(0, pages(0, 256))]).root is not None
    del made
    assert closed == [True]


@pytest.mark.parametrize(
    "writes",
    [
        [(0, b"x")],
        [(3, ZERO), (2, ZERO)],
        [(0, ZERO * 3), (2, ZERO)],
        [((1 << 51), page(1))],
        [unread((3, 1), (3, 1))],
        [unread((0, 2)), (1, ZERO)],
        [(5, ZERO), unread((2, 1))],
    ],
)
def test_pages_out_of_order_are_refused(store: Any, writes: Any) -> None:
    with pytest.raises(ValueError), store.writing() as writer:
        writer.put_pages(PageMap(), writes)


def test_an_entry_must_name_what_is_there(store: Any) -> None:
    with pytest.raises(LimosaError) as raised, store.writing() as writer:
        writer.put_entries(Manifest(), {b"m": Entry(b"", Paged(PageMap(0, NOBODY)))})
    assert code(raised) == "LIM-CSTORE-002"
    with pytest.raises(LimosaError) as raised, store.writing() as writer:
        writer.put_commit(Commit((), Manifest(NOBODY, 1), 1))
    assert code(raised) == "LIM-CSTORE-002"


def test_a_block_that_raises_commits_nothing(store: Any) -> None:
    commit(store, {0: pages(0, 10)}, {})
    before = store.refs()
    with pytest.raises(RuntimeError), store.writing() as writer:
        writer.put_pages(PageMap(), [(0, pages(500, 100))])
        raise RuntimeError
    assert store.refs() == before
    assert content(store, before["containers/web"])[0][: 10 * 4096] == pages(0, 10)
    assert store.verify().damages == ()


def test_names_lead_to_commits(store: Any) -> None:
    chain = [commit(store, {0: page(1)}, {})]
    for number in range(2, 5):
        chain.append(commit(store, {0: page(number)}, {}, parent=chain[-1], when_ns=number))
    store.set_ref("tags/good", chain[1], when_ns=9, why="tag")
    assert store.resolve("good") == store.resolve("tags/good") == chain[1]
    assert store.resolve("web") == chain[3] and store.resolve("web~2") == store.resolve("web~1~1") == chain[1]
    assert store.resolve(chain[2].hex()) == store.resolve(chain[2].hex()[:12]) == chain[2]
    for name in ("nosuch", "web~9", "abc", "f" * 64, "", "tags/../x"):
        with pytest.raises(LimosaError) as raised:
            store.resolve(name)
        assert code(raised) == "LIM-CSTORE-005"
    assert [found for found, _ in store.history([chain[3]])] == chain[::-1]


def test_refs_move_in_one_step_and_remember(store: Any) -> None:
    one, two = (commit(store, {0: page(number)}, {}, ref=None) for number in (1, 2))
    store.set_ref("containers/db", one, when_ns=10, why="checkpoint", expected=None)
    store.set_ref("containers/db", two, when_ns=20, why="checkpoint", expected=one)
    with pytest.raises(LimosaError) as raised:
        store.set_ref("containers/db", one, when_ns=30, why="rewind", expected=one)
    assert code(raised) == "LIM-CSTORE-007"
    store.set_ref("containers/db", None, when_ns=40, why="rm")
    assert store.refs() == {}
    assert [(change.old, change.new, change.why) for change in store.ref_log("containers/db")] == [
        (None, one, "checkpoint"),
        (one, two, "checkpoint"),
        (two, None, "rm"),
    ]
    store.drop_log("containers/db")
    assert store.ref_log("containers/db") == []
    with pytest.raises(LimosaError) as raised:
        store.set_ref("containers/db", NOBODY, when_ns=1, why="")
    assert code(raised) == "LIM-CSTORE-005"


@pytest.mark.parametrize(
    "name", ["web", "a/b/c", "tags/", "/x", "tags/../../x", "Tags/x", "tags/a\nb", "tags/" + "x" * 65, "tags/x.new"]
)
def test_bad_names_of_refs_are_refused(store: Any, name: str) -> None:
    made = commit(store, {}, {})
    with pytest.raises(LimosaError) as raised:
        store.set_ref(name, made, when_ns=1, why="")
    assert code(raised) == "LIM-CSTORE-008"


def test_collect_takes_what_nothing_names(store: Any) -> None:
    first = commit(store, {0: pages(0, 100)}, {b"a": b"a" * 1000}, ref="tags/first")
    second = commit(store, {0: pages(1000, 100)}, {b"a": b"b" * 1000}, ref="tags/second")
    assert store.collect().objects_dropped == 0
    store.set_ref("tags/second", None, when_ns=50, why="untag")
    assert store.collect(log_before_ns=50).objects_dropped == 0  # the log still names it
    report = store.collect(log_before_ns=51)
    assert report.objects_dropped > 0 and report.bytes_freed > 0 and report.commits_kept == 1
    with pytest.raises(LimosaError) as raised, store.reading(second):
        pass
    assert code(raised) == "LIM-CSTORE-005"
    assert content(store, first) == (pages(0, 100) + ZERO * 500, {b"a": b"a" * 1000})
    again = commit(store, {0: pages(1000, 100)}, {b"a": b"b" * 1000}, ref="tags/second")
    assert content(store, again) == (pages(1000, 100) + ZERO * 500, {b"a": b"b" * 1000})
    assert store.verify().damages == ()


def test_collect_leaves_what_is_being_read(store: Any) -> None:
    made = commit(store, {0: pages(0, 100)}, {}, ref=None)
    with store.reading(made) as reader:
        store.collect()
        entry = reader.entry(b"memory/1")
        assert reader.read_pages(entry.content.pages, 0, 100) == pages(0, 100)
    assert store.collect().objects_dropped > 0


def test_a_forgotten_commit_loses_its_content_and_not_its_place(store: Any) -> None:
    first = commit(store, {0: pages(0, 50)}, {b"f": b"1" * 100})
    middle = commit(store, {10: pages(200, 30)}, {b"f": b"2" * 100}, parent=first)
    last = commit(store, {10: pages(400, 10)}, {b"f": b"3" * 100}, parent=middle)
    store.forget([middle])
    with pytest.raises(LimosaError) as raised, store.reading(middle):
        pass
    assert code(raised) == "LIM-CSTORE-005"
    assert store.collect().objects_dropped > 0
    assert [found for found, _ in store.history([last])] == [last, middle, first]
    assert content(store, first)[1] == {b"f": b"1" * 100}
    memory = content(store, last)[0]
    assert memory[: 50 * 4096] == pages(0, 10) + pages(400, 10) + pages(210, 20) + pages(40, 10)
    assert store.verify().damages == ()
    with pytest.raises(LimosaError) as raised:
        store.forget([last])
    assert code(raised) == "LIM-CSTORE-011"


def test_push_sends_only_what_is_lacking(make: Make) -> None:
    here, there = make("here"), make("there")
    first = commit(here, {0: pages(0, 500)}, {b"f": b"1" * 10000})
    second = commit(here, {100: pages(900, 5)}, {}, parent=first)
    sent = here.push([first], remote_of(there), {"containers/web": first}, when_ns=5)
    assert content(there, first) == content(here, first)
    assert here.push([first], remote_of(there), {}, when_ns=6) == 0
    more = here.push([second], remote_of(there), {"containers/web": second}, when_ns=7)
    assert 0 < more < sent / 5
    assert content(there, second) == content(here, second)
    assert there.refs() == {"containers/web": second}
    assert there.verify().damages == ()
    there.collect()
    assert content(there, second) == content(here, second)


def test_push_heals_a_forgotten_commit(make: Make) -> None:
    here, there = make("here"), make("there")
    first = commit(here, {0: pages(0, 200)}, {b"f": b"1" * 1000})
    second = commit(here, {0: pages(1000, 120)}, {}, parent=first)
    here.push([first, second], remote_of(there), {"containers/web": second}, when_ns=1)
    there.forget([first])
    there.collect(log_before_ns=2)
    here.push([first], remote_of(there), {"tags/first": first}, when_ns=3)
    assert content(there, first) == content(here, first)
    assert content(there, second) == content(here, second)
    there.collect()
    assert there.verify().damages == ()


def test_push_completes_frames_of_which_a_collection_kept_a_part(make: Make) -> None:
    here, there = make("here"), make("there")
    first = commit(here, {0: pages(0, 320)}, {})
    scattered = dict.fromkeys(range(2, 320, 64), ZERO * 60)  # 4 pages of each frame stay
    second = commit(here, scattered, {}, parent=first, when_ns=2)
    here.push([first, second], remote_of(there), {"containers/web": second}, when_ns=1)
    here.set_ref("tags/first", first, when_ns=3, why="tag")
    there.forget([first])
    report = there.collect(log_before_ns=2)
    assert report.bytes_freed > 0
    assert content(there, second) == content(here, second)
    assert there.verify().damages == ()
    third = commit(there, {0: pages(0, 2), 320: pages(2, 30)}, {}, parent=second, when_ns=4)  # some known, some dropped
    assert content(there, third)[0][320 * 4096 : 350 * 4096] == pages(2, 30)
    here.push([first], remote_of(there), {"tags/first": first}, when_ns=5)
    assert content(there, first) == content(here, first)
    there.collect()
    for made in (first, second):
        assert content(there, made) == content(here, made)
    assert there.verify().damages == ()


def test_stores_with_different_keys_do_not_mix(make: Make, tmp_path: Any) -> None:
    here, there = make("here", b"a" * 32), make("there", b"b" * 32)
    one = commit(here, {0: page(1)}, {})
    other = commit(there, {0: page(1)}, {})
    assert one != other
    with pytest.raises(LimosaError) as raised:
        here.push([one], remote_of(there), {}, when_ns=1)
    assert code(raised) == "LIM-CSTORE-004"
    here.export([one], f"{tmp_path}/file")
    with pytest.raises(LimosaError) as raised:
        there.import_file(f"{tmp_path}/file")
    assert code(raised) == "LIM-CSTORE-004"


def test_an_exported_file_brings_the_commit(make: Make, tmp_path: Any) -> None:
    here, there = make("here"), make("there")
    first = commit(here, {0: pages(0, 300)}, {b"f": b"1" * 70000})
    second = commit(here, {0: pages(1000, 20)}, {}, parent=first)
    size = here.export([second], f"{tmp_path}/file")
    with open(f"{tmp_path}/file", "rb") as file:
        assert len(file.read()) == size
    assert there.import_file(f"{tmp_path}/file") == [second]
    there.collect()
    assert content(there, second) == content(here, second)
    assert there.refs() == {f"imported/{second.hex()[:24]}": second}
    assert [found for found, _ in there.history([second])] == [second]


@pytest.mark.parametrize("for_strangers", [False, True], ids=["of one key", "for strangers"])
def test_long_work_tells_how_far_it_is(make: Make, tmp_path: Any, for_strangers: bool) -> None:
    here, there = make("here"), make("there")
    other = make("elsewhere", b"b" * 32) if for_strangers else make("elsewhere")
    told: list[tuple[str, int, int]] = []
    for store in (here, there, other):
        store.report_to(lambda *said: told.append(said))
    made = commit(here, {0: pages(0, 300)}, {b"f": b"1" * 70000})
    sent = here.push([made], there.as_remote(), {}, when_ns=1)
    assert told[-1] == ("sending commits", sent, 0)
    written = here.export([made], f"{tmp_path}/file", for_strangers=for_strangers)
    assert told[-1] == ("writing commits", written, 0)
    other.import_file(f"{tmp_path}/file")
    assert ("reading commits", written, written) in told
    here.verify()
    what, done, total = told[-1]
    assert (what, done <= total) == ("checking commits", True)
    here.collect()
    assert ("looking for what commits need", 0, 0) in told
    assert all(done <= total or not total for _, done, total in told)


def test_a_file_for_strangers_brings_the_commit_to_another_key(make: Make, tmp_path: Any) -> None:
    secret = bytes(range(100, 132))
    here, there = make("here", secret), make("there", b"b" * 32)
    first = commit(here, {3: pages(0, 300)}, {b"f": b"1" * 60_000, b"g": b"in the manifest"})
    second = commit(here, {1000: pages(1000, 20)}, {}, parent=first, said=b'{"m": 1}')
    here.export([second], f"{tmp_path}/file", for_strangers=True)
    (made,) = there.import_file(f"{tmp_path}/file")
    assert made != second
    assert content(there, made, 1020) == content(here, second, 1020)
    assert there.commit(made)[2:] == here.commit(second)[2:]
    assert there.refs() == {f"imported/{made.hex()[:24]}": made}
    there.collect()
    assert there.verify().damages == ()
    with open(f"{tmp_path}/file", "rb") as file:
        assert secret not in file.read()  # the group's key stays at home
    left = {name for _, directories, _ in os.walk(tmp_path) for name in directories}
    assert not [name for name in left if name.startswith("incoming-") or name.endswith(".store")]


def test_inline_and_empty_contents(store: Any) -> None:
    with store.writing() as writer:
        manifest = writer.put_entries(
            Manifest(), {b"": Entry(), b"empty": Entry(b"x", writer.put_blob(b"")), b"in": Entry(b"", Inline(b"abc"))}
        )
        made = writer.put_commit(Commit((), manifest, 0))
        store.set_ref("tags/t", made, when_ns=0, why="")
    with store.reading(made) as reader:
        assert [(key, reader.content(entry)) for key, entry in reader.entries()] == [
            (b"", b""),
            (b"empty", b""),
            (b"in", b"abc"),
        ]


def test_a_key_is_adopted_by_a_store_without_commits_only(tmp_path: Any) -> None:
    create(f"{tmp_path}/one", b"1" * 32)
    create(f"{tmp_path}/two", b"2" * 32)
    for name in ("two", "new"):
        adopt_key(f"{tmp_path}/{name}", f"{tmp_path}/one")
        adopt_key(f"{tmp_path}/{name}", f"{tmp_path}/one")
    one, two = opened(f"{tmp_path}/one"), opened(f"{tmp_path}/two")
    made = commit(one, {0: page(1)}, {})
    assert one.push([made], two.as_remote(), {"containers/web": made}, when_ns=1) > 0
    create(f"{tmp_path}/three", b"3" * 32)
    with pytest.raises(LimosaError) as refused:
        adopt_key(f"{tmp_path}/two", f"{tmp_path}/three")
    assert refused.value.code == "LIM-CSTORE-003"
    assert content(opened(f"{tmp_path}/two"), made)[0][:4096] == page(1)
