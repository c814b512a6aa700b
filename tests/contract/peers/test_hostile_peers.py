"""What a stranger sends makes no host crash, hang, write outside of its store, or take memory without bound."""

import json
import os
import resource
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.contract.peers import stage

from limosa.adapters.ssh_peers.frames import FramedConnection
from limosa.engine import channel_store, exchange, serving
from limosa.engine.exchange import Peer
from limosa.model import peer_protocol as protocol
from limosa.model.commit_store import Commit, Entry, Manifest, Paged, PageMap
from limosa.model.errors import LimosaError
from limosa.model.peer_protocol import Hello

KEY = bytes(range(32))
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def listing(directory: str) -> set[str]:
    return {f"{place}/{name}" for place, _, names in os.walk(directory) for name in names}


def served(frames: list[bytes], *, hello: bool = True) -> tuple[list[tuple[int, bytes]], BaseException | None]:
    """Send bytes to a host and return the frames that it answered with, and how its `serve` ended."""
    with tempfile.TemporaryDirectory() as directory, stage.ends(idle_s=2.0) as (ours, theirs):
        target = stage.host(f"{directory}/host", KEY)
        before = listing(directory)
        ended: list[BaseException | None] = []

        def serve() -> None:
            try:
                serving.serve(target, theirs)
                ended.append(None)
            except BaseException as failed:
                ended.append(failed)
            finally:
                if "store" in vars(target):
                    target.store.close()
                os.close(theirs._writing)

        thread = threading.Thread(target=serve)
        thread.start()
        if hello:
            ours.send(Hello("0", "", "test"))
        for data in frames:
            try:
                os.set_blocking(ours._writing, True)
                os.write(ours._writing, data)
            except OSError:
                break
        os.close(ours._writing)
        thread.join(20)
        assert not thread.is_alive(), "it hangs"
        answers = []
        try:
            while True:
                answers.append(ours.receive_frame(1))
        except (LimosaError, OSError):
            pass
        made = {name.removeprefix(f"{directory}/host/") for name in listing(directory) - before}
        allowed = ("commits/", "images/", "journal/")
        assert all(name.startswith(allowed) for name in made), f"written outside: {made}"
        return answers, ended[0]


def frame(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(4, "little") + payload


TEXT = st.text(max_size=40) | st.sampled_from(
    ["../../x", "/etc/passwd", "sha256:" + "0" * 64, "0" * 64, "a", "index.json"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=6
)


@st.composite
def messages(draw: Callable[..., Any]) -> bytes:
    """A message of a kind that exists, with fields of all sorts."""
    kind = draw(st.sampled_from(sorted(protocol._KINDS)))
    fields = {name: draw(VALUES) for name in protocol._KINDS[kind]._fields}
    return frame(protocol.MESSAGE, json.dumps([kind, fields]).encode())


@st.composite
def questions(draw: Callable[..., Any]) -> bytes:
    """A question of a migration that could be, or a settlement."""
    migration = draw(st.sampled_from(["0" * 24, "a" * 24, "../" + "0" * 21, "x"]))
    if draw(st.booleans()):
        return frame(protocol.MESSAGE, protocol.encoded(protocol.Settle(migration)))
    asked = draw(st.sampled_from(["offer", "prepare", "go", "abort", "done"]))
    container = draw(st.sampled_from(["", "{}", "[" * 5000, '{"container_id": "../../x"}', "null"]))
    question = protocol.Question(migration, asked, container, draw(TEXT), draw(TEXT), draw(TEXT), draw(TEXT))
    return frame(protocol.MESSAGE, protocol.encoded(question))


FRAMES = st.one_of(
    questions(),
    st.builds(frame, st.integers(0, 8), st.binary(max_size=300)),
    messages(),
    st.binary(max_size=60),
    st.builds(lambda size: bytes([protocol.RECORD]) + size.to_bytes(4, "little"), st.integers(0, 2**32 - 1)),
)


@QUICK
@given(st.lists(FRAMES, max_size=6))
def test_any_frames_end_in_an_error_of_ours_or_in_peace(frames: list[bytes]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    _, ended = served(frames)
    assert ended is None or isinstance(ended, LimosaError), repr(ended)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10, "in KiB"


def commit_in(host: Any, pages: int = 40) -> Any:
    with host.store.writing() as writer:
        content = writer.put_pages(PageMap(), [(3, os.urandom(4096 * pages))])
        manifest = writer.put_entries(Manifest(), {b"memory/x": Entry(content=Paged(content))})
        commit = writer.put_commit(Commit((), manifest, 5, b"{}"))
        host.store.set_ref("tags/x", commit, when_ns=1, why="")
    return commit


class Recorder:
    """A remote that keeps the records that a push would send."""

    def __init__(self, key_id: bytes) -> None:
        self.records: list[bytes] = []
        self._key_id = key_id

    def key_id(self) -> bytes:
        return self._key_id

    def known(self, ids: object) -> set[Any]:
        return set()

    def receiving(self) -> Any:
        import contextlib

        return contextlib.nullcontext(self)

    def put_record(self, data: bytes) -> None:
        self.records.append(data)

    def keep(self) -> None:
        pass

    def finish(self, refs: object, *, when_ns: int, why: str) -> None:
        pass


@pytest.fixture(scope="module")
def real_records(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], str]:
    host = stage.host(str(tmp_path_factory.mktemp("real")), KEY)
    commit = commit_in(host)
    recorder = Recorder(bytes.fromhex(host.store_keys.key_id()))
    host.store.push([commit], recorder, {}, when_ns=1)  # type: ignore[arg-type]
    return recorder.records, commit.hex()


@QUICK
@given(data=st.data())
def test_damaged_replayed_and_missing_records_are_refused(data: Any, real_records: tuple[list[bytes], str]) -> None:
    records, commit = real_records
    sent = [bytearray(one) for one in records]
    what = data.draw(st.sampled_from(["flip", "drop", "cut", "swap"]))
    place = data.draw(st.integers(0, len(sent) - 1))
    if what == "flip":
        at = data.draw(st.integers(0, len(sent[place]) - 1))
        sent[place][at] ^= 1 << data.draw(st.integers(0, 7))
    elif what == "drop":
        del sent[place]
    elif what == "cut":
        del sent[place][data.draw(st.integers(0, len(sent[place]) - 1)) :]
    else:
        sent.reverse()
    begin = frame(protocol.MESSAGE, protocol.encoded(protocol.Receive()))
    end = frame(protocol.MESSAGE, protocol.encoded(protocol.Deliver((commit,))))
    answers, ended = served([begin, *(frame(protocol.RECORD, bytes(one)) for one in sent), end])
    assert ended is None or isinstance(ended, LimosaError)
    last = protocol.decoded(answers[-1][1])
    assert isinstance(last, protocol.Failure), last
    assert last.code in ("LIM-CSTORE-010", "LIM-CSTORE-005", "LIM-COMM-003"), last


def test_the_same_records_undamaged_are_taken_but_are_no_commit_of_limosa(
    real_records: tuple[list[bytes], str],
) -> None:
    records, commit = real_records
    begin = frame(protocol.MESSAGE, protocol.encoded(protocol.Receive()))
    end = frame(protocol.MESSAGE, protocol.encoded(protocol.Deliver((commit,))))
    answers, _ = served([begin, *(frame(protocol.RECORD, one) for one in records), end])
    last = protocol.decoded(answers[-1][1])
    assert isinstance(last, protocol.Failure) and last.code == "LIM-COMM-003", "{} describes no container"


def test_a_peer_that_says_nothing_or_only_beats_is_left_within_its_time() -> None:
    with stage.ends(idle_s=0.5) as (ours, theirs):
        theirs.close()
        begun = time.monotonic()
        with pytest.raises(LimosaError) as lost:
            ours.receive()
        assert lost.value.code == "LIM-PEER-004"
        assert time.monotonic() - begun < 5
    with stage.ends(idle_s=5) as (ours, theirs):
        beat = protocol.head(protocol.BEAT, 0)
        stop = threading.Event()

        def beats() -> None:
            while not stop.wait(0.05):
                os.write(theirs._writing, beat)

        thread = threading.Thread(target=beats)
        thread.start()
        with pytest.raises(LimosaError) as stalled:
            ours.receive(limit_s=0.5)
        stop.set()
        thread.join()
        assert stalled.value.code == "LIM-PEER-004"


def test_a_peer_that_takes_nothing_is_left_within_its_time() -> None:
    with stage.ends(idle_s=0.5) as (ours, theirs):
        theirs.close()
        with pytest.raises(LimosaError) as stalled:
            for _ in range(200):
                ours.send_frame(protocol.DATA, bytes(1 << 18))
        assert stalled.value.code == "LIM-PEER-004"


@pytest.mark.parametrize(
    "answer",
    [
        frame(protocol.BITS, b"\xff" * 9),
        frame(protocol.BITS, b""),
        frame(protocol.RECORD, b"x"),
        frame(protocol.MESSAGE, b"[]"),
        frame(protocol.MESSAGE, protocol.encoded(protocol.Done())),
        frame(9, b""),
    ],
)
def test_a_target_that_answers_what_was_not_asked_is_an_error(tmp_path: Any, answer: bytes) -> None:
    host = stage.host(str(tmp_path), KEY)
    commit = commit_in(host)
    with stage.ends(idle_s=2) as (ours, theirs):
        os.write(theirs._writing, answer)
        remote = channel_store.ChannelRemote(ours, Hello("", host.store_keys.key_id(), ""), [commit], [])
        with pytest.raises(LimosaError) as refused:
            host.store.push([commit], remote, {}, when_ns=1)
        assert refused.value.code == "LIM-PEER-003"


def test_an_interrupted_transfer_goes_on_where_it_stopped(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_store, "_KEEP_BYTES", 1 << 18)
    source = stage.host(f"{tmp_path}/s", KEY)
    commit = commit_in(source, pages=2048)
    sizes = []
    for interrupt_after in (4 << 20, None):
        with stage.ends() as (ours, theirs):
            thread = threading.Thread(target=_serve_quietly, args=(f"{tmp_path}/t", theirs))
            thread.start()
            ours.send(Hello("", source.store_keys.key_id(), ""))
            peer = Peer(ours, ours.receive())  # type: ignore[arg-type]
            ours.send(protocol.Receive())
            sent = [0]

            def count(size: int, sent: list[int] = sent, limit: int | None = interrupt_after) -> None:
                sent[0] += size
                if limit is not None and sent[0] > limit:
                    raise InterruptedError

            remote = channel_store.ChannelRemote(ours, peer.hello, [commit], [], count)
            try:
                source.store.push([commit], remote, {}, when_ns=1)
            except (InterruptedError, LimosaError):
                pass
            os.close(ours._writing)
            thread.join(20)
            sizes.append(sent[0])
    assert sizes[0] > 4 << 20
    assert sizes[1] < 5 << 20, f"{sizes}: of 8 MiB more than half was there"


def _serve_quietly(directory: str, connection: FramedConnection) -> None:
    host = stage.host(directory, KEY)
    try:
        serving.serve(host, connection)
    except LimosaError:
        pass
    finally:
        host.store.close()


def test_a_fetch_from_a_peer_that_lies_about_its_commits_is_an_error(tmp_path: Any) -> None:
    host = stage.host(str(tmp_path), KEY)
    with stage.ends(idle_s=2) as (ours, theirs):
        theirs.send(protocol.Names(("zz",), ((),)))
        theirs.send(protocol.Deliver(("zz",)))
        peer = Peer(ours, Hello("", host.store_keys.key_id(), ""))
        with pytest.raises(LimosaError) as refused:
            exchange.fetch(host, peer, (), lambda what, done, total: None, history=False)
        assert refused.value.code == "LIM-PEER-003"
