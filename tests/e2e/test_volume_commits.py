"""Volumes in commits: a database on one that is included, a cache that is left out, and what is only named."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Limosa, new_host
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]
pytestmark = pytest.mark.privileged
QUERY = ("exec", "-u", "postgres")
CLUSTER = "-D /var/lib/postgresql/15/main -c config_file=/etc/postgresql/15/main/postgresql.conf"
POSTGRESQL = f"/usr/lib/postgresql/15/bin/postgres {CLUSTER}"


def sql(host: Limosa, name: str, query: str) -> str:
    return host(*QUERY, name, "psql", "-qAtc", query).strip()


def test_a_database_on_a_volume_comes_back_with_the_memory_that_belongs_to_it(box: Limosa) -> None:
    start = f"mkdir -p /run/postgresql && chown postgres /run/postgresql && exec su postgres -c '{POSTGRESQL}'"
    box("run", "-d", "--name", "db", "-v", "data:/var/lib/postgresql", "pg", "sh", "-c", start)
    eventually(lambda: "ready" in box.logs("db"))
    sql(box, "db", "create table t (n int); insert into t select generate_series(1, 1000)")
    first = box("checkpoint", "db").strip()
    sql(box, "db", "insert into t select generate_series(1, 500)")
    second = box("checkpoint", "db").strip()

    copies = box("fork", "-n", "2", first).split()
    names = {volume for volume in box("volume", "ls", "-q").split() if volume.startswith("data-")}
    assert len(names) == 2, "each copy has a volume of its own"
    for index, copy in enumerate(copies):
        assert sql(box, copy, "select count(*) from t") == "1000"
        sql(box, copy, f"insert into t select generate_series(1, {index + 1}); checkpoint")
    assert [sql(box, name, "select count(*) from t") for name in ("db", *copies)] == ["1500", "1001", "1002"]

    sql(box, "db", "drop table t")
    box("rewind", "--discard", "db", second)
    assert sql(box, "db", "select count(*) from t") == "1500"
    sql(box, "db", "vacuum full t")  # rewrites every page of the table
    box("rewind", "db", first)
    assert sql(box, "db", "select count(*) from t") == "1000"

    with new_host() as elsewhere:
        box("push", "--init", second, elsewhere.root)
        elsewhere("restore", second)
        assert sql(elsewhere, "db", "select count(*) from t") == "1500"
        assert "data" in elsewhere("volume", "ls", "-q").split()
    box("rm", "--force", "db", *copies)
    box("volume", "prune")
    box("restore", first)
    assert sql(box, "db", "select count(*) from t") == "1000"
    assert sql(box, "db", "insert into t values (0); checkpoint; select count(*) from t") == "1001"


def test_what_is_left_out_or_named_is_as_it_is_now(box: Limosa, tmp_path: Path) -> None:
    box("volume", "create", "--commit", "exclude", "cache")
    mounts = ("-v", "cache:/cache", "-v", "shared:/shared:commit=reference", "--tmpfs", "/scratch:size=1m")
    box("run", "-d", "--name", "one", *mounts, "pg", "sleep", "1000")

    def write(text: str) -> None:
        box("exec", "one", "sh", "-c", f"for d in cache shared scratch; do echo {text} >/$d/n; done")

    write("old")
    commit = box("checkpoint", "one").strip()
    write("new")
    box("rewind", "one", commit)
    assert box("exec", "one", "cat", "/shared/n", "/scratch/n") == "new\nold\n"
    assert box("exec", "one", "cat", "/cache/n") == "new\n", "no commit has it, so nothing takes it away"
    box("checkpoint", "--stop", "one")
    box("restore", "one")
    assert box("exec", "one", "cat", "/cache/n") == "new\n"
    write("newer")

    refused = box("fork", commit, status=1)
    assert "LIM-VOL-008" in refused
    assert "--share-volumes" in refused
    assert box("volume", "ls", "-q").split() == ["cache", "shared"], "nothing is left of the attempt"
    assert box("fork", "--name", "two", "--share-volumes", commit).strip() == "two"
    box("exec", "two", "sh", "-c", "test -z $(ls /cache) && echo theirs >/shared/n && echo mine >/cache/n")
    assert box("exec", "one", "cat", "/shared/n", "/cache/n") == "theirs\nnewer\n"

    box("run", "-d", "--name", "reader", "-v", "shared:/shared:ro,commit=reference", "pg", "sleep", "1000")
    assert box("fork", "--name", "reader-2", "reader").strip() == "reader-2", "what is read only is shared without harm"
    assert box("exec", "reader-2", "cat", "/shared/n") == "theirs\n"
    box("run", "-d", "--name", "bound", "-v", f"{tmp_path}:/host:noidmap", "pg", "sleep", "1000")
    assert "LIM-VOL-008" in box("fork", "bound", status=1)
    assert json.loads(box("log", "bound", "--json")) == [], "it is refused before anything stands still"


def test_a_volume_behind_a_link_is_in_a_commit_as_others_are(box: Limosa) -> None:
    run = "echo old >/run/data/n; exec sleep 1000"
    box("run", "-d", "--name", "one", "-v", "data:/var/run/data", "pg", "sh", "-c", run)
    eventually(lambda: box("exec", "one", "cat", "/run/data/n") == "old\n")
    commit = box("checkpoint", "one").strip()
    box("fork", "--name", "copy", commit)
    box("exec", "copy", "sh", "-c", "echo new >/run/data/n")
    assert box("exec", "one", "cat", "/run/data/n") == "old\n", "a copy has a volume of its own"
    box("exec", "one", "sh", "-c", "echo newer >/run/data/n")
    box("rewind", "--discard", "one", commit)
    assert box("exec", "one", "cat", "/run/data/n") == "old\n"


def test_nothing_changes_under_another_container_or_an_open_file(box: Limosa, tmp_path: Path) -> None:
    box("run", "-d", "--name", "one", "-v", "data:/data", "pg", "sh", "-c", "echo old >/data/n; exec sleep 1000")
    commit = box("checkpoint", "one").strip()
    box("run", "-d", "--name", "other", "-v", "data:/mine", "pg", "sh", "-c", "echo new >/mine/n; exec sleep 1000")
    eventually(lambda: box("exec", "one", "cat", "/data/n") == "new\n")
    refused = box("rewind", "one", commit, status=1)
    assert "LIM-VOL-007" in refused
    assert "'other'" in refused
    assert box("exec", "one", "cat", "/data/n") == "new\n"
    box("rm", "--force", "other")
    box("rewind", "one", commit)
    assert box("exec", "one", "cat", "/data/n") == "old\n"

    box("fork", "--name", "copy", commit)
    box("exec", "copy", "sh", "-c", "echo longer >/data/n; echo >/data/m")
    later = box("checkpoint", "copy").strip()
    changed = [file for file in json.loads(box("diff", "--json", commit, later))["files"] if file["volume"]]
    assert [(file["path"], file["change"], file["size_bytes"]) for file in changed] == [
        ("/data", "changed", [0, 0]),
        ("/data/m", "added", [0, 1]),
        ("/data/n", "changed", [4, 7]),
    ], "the copy's volume has another name, at the same place"
    assert f", on the volume {changed[0]['volume']})" in box("diff", commit, later)
    box("rm", "--force", "copy")

    hold = "exec 9>/cache/log; exec sleep 1000"
    box("run", "-d", "--name", "holder", "-v", "cache:/cache:commit=exclude", "pg", "sh", "-c", hold)
    eventually(lambda: "log" in box("exec", "holder", "ls", "/cache"))
    refused = box("checkpoint", "holder", status=1)
    assert "LIM-CRIU-029" in refused
    assert "/cache/log" in refused
    assert box("exec", "holder", "echo", "runs") == "runs\n"

    last = box("checkpoint", "one").strip()
    box("rm", "--force", "one", "holder")
    box("volume", "rm", "data")
    box("run", "-d", "--name", "named", "-v", "kept:/kept:commit=reference", "pg", "sleep", "1000")
    named = box("checkpoint", "named").strip()
    box("rm", "--force", "named")
    box("volume", "prune")
    missing = box("restore", named, status=1)
    assert "LIM-VOL-002" in missing
    assert "limosa volume create kept" in missing
    assert box("volume", "ls", "-q") == ""
    box("volume", "create", "data")  # somebody else's
    assert "LIM-VOL-009" in box("restore", last, status=1)
    box("volume", "rm", "data")
    box("restore", last)
    assert box("exec", "one", "cat", "/data/n") == "old\n"
    box("rewind", "one", last)
    box("export", "--for-strangers", named, f"{tmp_path}/named")
    with new_host() as elsewhere:
        refused = elsewhere("import", f"{tmp_path}/named", status=1)
        assert "LIM-COMM-021" in refused
        assert "volumes of the host (kept)" in refused
