"""The path on which everything stands: PostgreSQL and 10 GB of files, checkpointed under load, brought back, copied.

docs/adr/0003 freezes the design that this test proves.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess

import pytest

from tests.e2e.conftest import LIMOSA, Limosa
from tests.waiting import eventually

POSTGRES = (
    *("/usr/lib/postgresql/15/bin/postgres", "-D", "/var/lib/postgresql/15/main"),
    *("-c", "config_file=/etc/postgresql/15/main/postgresql.conf", "-c", "external_pid_file=/tmp/pid"),
    *("-c", "listen_addresses=*", "-c", "unix_socket_directories=/tmp"),
)
PORT = 15432
TEN_GB = 10 * 10**9


def query(limosa: Limosa, container: str, sql: str) -> str:
    return limosa("exec", container, "psql", "-h", "/tmp", "-Atc", sql).strip()


def answers_on(port: int) -> bool:
    """Ask the published port, from the host itself, whether PostgreSQL speaks TLS: it answers S or N."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(struct.pack("!II", 8, 80877103))
        return connection.recv(1) in (b"S", b"N")


@pytest.fixture
def db(limosa: Limosa, postgresql_rootfs: str) -> Limosa:
    limosa("image", "import", postgresql_rootfs, "pg")
    limosa(
        "run", "-d", "--name", "db", "-p", f"{PORT}:5432", "-u", "postgres", "--stop-signal", "SIGINT", "pg", *POSTGRES
    )
    eventually(lambda: query(limosa, "db", "select 1") == "1")
    limosa("exec", "db", "sh", "-c", "echo 'host all all all trust' >>/etc/postgresql/15/main/pg_hba.conf")
    query(limosa, "db", "select pg_reload_conf()")
    limosa("exec", "db", "pgbench", "-h", "/tmp", "-i", "-s", "2", "--quiet", "postgres")
    return limosa


RESERVED = ("fallocate", "-l", str(TEN_GB))
WRITTEN = ("sh", "-c", f'head -c {TEN_GB} /dev/urandom >"$0"')


@pytest.mark.privileged
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "writer", [pytest.param(RESERVED, id="reserved"), pytest.param(WRITTEN, marks=pytest.mark.slow, id="written")]
)
def test_checkpoint_under_load_kill_restore_and_three_copies(db: Limosa, writer: tuple[str, ...]) -> None:
    limosa = db
    limosa("exec", "db", *writer, "/var/tmp/ten-gigabytes", timeout=600)
    limosa(
        "run", "-d", "--name", "load", "-u", "postgres", "pg", "pgbench", "-h", "db", "-c", "4", "-T", "8", "postgres"
    )
    eventually(lambda: int(query(limosa, "db", "select count(*) from pgbench_history")) > 20)

    commit = limosa("checkpoint", "-m", "under pgbench", "db", timeout=900).strip()
    assert re.fullmatch(r"[0-9a-f]{64}", commit)
    assert limosa("wait", "load").strip() == "0"
    load_log = limosa.logs("load")
    assert "number of failed transactions: 0 (" in load_log
    after = int(query(limosa, "db", "select count(*) from pgbench_history"))

    copies = limosa("fork", "-n", "3", "--name", "copy", commit).split()
    assert copies == ["copy-1", "copy-2", "copy-3"]
    records = limosa.records()
    addresses = {records[name]["addresses"]["ipv4"] for name in ["db", *copies]}
    assert len(addresses) == 4, "each has an address of its own"
    counts = set()
    for name in copies:
        # The invariant of the benchmark: every transaction adds the same delta to all four tables, or to none.
        sums = query(
            limosa, name, "select (select sum(abalance) from pgbench_accounts) = sum(delta) from pgbench_history"
        )
        assert sums == "t"
        counts.add(int(query(limosa, name, "select count(*) from pgbench_history")))
        assert limosa("exec", name, "stat", "-c", "%s", "/var/tmp/ten-gigabytes").strip() == str(TEN_GB)
    (count,) = counts
    assert 20 < count < after, "the copies are of the moment of the commit"
    query(limosa, "copy-1", "delete from pgbench_history")
    assert query(limosa, "copy-2", "select count(*) from pgbench_history") == str(count), "copies do not share files"
    assert query(limosa, "db", "select count(*) from pgbench_history") == str(after)

    limosa("kill", "db")
    assert limosa("wait", "db").strip() == "137"
    limosa("restore", commit)
    assert query(limosa, "db", "select count(*) from pgbench_history") == str(count)
    assert answers_on(PORT), "the published port works after the restore"
    assert "connection to client lost" in limosa.logs("db"), "the log goes on in one stream"
    limosa("stop", "db", *copies)
    stopped = limosa.records()
    assert [stopped[name]["exit"]["status"] for name in ["db", *copies]] == [0, 0, 0, 0]


@pytest.mark.privileged
def test_a_restored_process_that_exits_with_37_gives_37(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("pg", postgresql_rootfs)
    limosa(
        "run", "-d", "--name", "box", "pg", "sh", "-c", "trap 'exit 37' TERM; echo ready; while :; do sleep 0.1; done"
    )
    eventually(lambda: "ready" in limosa.logs("box"))
    commit = limosa("checkpoint", "--stop", "box").strip()
    assert limosa.records()["box"]["phase"] == "stopped"
    limosa("restore", commit)
    assert "it runs" in limosa("restore", commit, status=1), "one identity is alive at most once"
    limosa("kill", "--signal", "TERM", "box")
    assert limosa("wait", "box").strip() == "37"


@pytest.mark.privileged
def test_a_safe_container_shows_its_isolation(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("pg", postgresql_rootfs)
    status = limosa("run", "--rm", "--network", "none", "pg", "cat", "/proc/self/status", "/proc/self/uid_map")
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.M)
    assert re.search(r"^Seccomp:\s+2$", status, re.M)
    inside, outside, count = map(int, status.splitlines()[-1].split())
    assert (inside, count) == (0, 65536)
    assert outside >= 1 << 29, "the container's root is nobody outside"
    refused = limosa("run", "--rm", "--network", "none", "pg", "unshare", "--mount", "true", status=1)
    assert "Operation not permitted" in refused


@pytest.mark.privileged
def test_statuses_and_streams_of_run_and_exec(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("pg", postgresql_rootfs)
    assert limosa("run", "--rm", "--network", "none", "pg", "echo", "hello") == "hello\n"
    assert limosa("run", "--rm", "-i", "--network", "none", "pg", "cat", stdin="piped") == "piped"
    limosa("run", "--rm", "--network", "none", "pg", "sh", "-c", "exit 37", status=37)
    assert "LIM-RUN-002" in limosa("run", "--rm", "--network", "none", "pg", "nosuch", status=127)
    limosa("run", "-d", "--name", "box", "--network", "none", "pg", "sleep", "1000")
    limosa("exec", "box", "sh", "-c", "exit 12", status=12)
    assert limosa("exec", "-i", "box", "cat", stdin="in") == "in"
    limosa("exec", "box", "nosuch", status=127)
    assert "LIM-NAME-002" in limosa("run", "-d", "--name", "box", "pg", "true", status=125)
    assert "LIM-IMG-001" in limosa("run", "nosuch", "true", status=125)
    assert list(limosa.records()) == ["box"], "failed attempts leave nothing"


@pytest.mark.privileged
def test_recover_after_the_monitor_and_the_program_were_killed(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("pg", postgresql_rootfs)
    limosa("run", "-d", "--name", "box", "pg", "sleep", "1000")
    record = limosa.records()["box"]
    os.kill(record["monitor_pid"], signal.SIGKILL)
    os.kill(record["init_pid"], signal.SIGKILL)
    eventually(lambda: "had ended" in limosa("recover") or limosa.records()["box"]["phase"] == "stopped")
    assert limosa.records()["box"]["exit"]["status"] == 137
    limosa("start", "box")
    assert limosa.records()["box"]["phase"] == "running"


@pytest.mark.privileged
def test_a_checkpoint_refuses_a_running_exec_session(limosa: Limosa, postgresql_rootfs: str) -> None:
    limosa.has_image("pg", postgresql_rootfs)
    limosa("run", "-d", "--name", "box", "--network", "none", "pg", "sleep", "1000")
    argv = [LIMOSA, "--root", limosa.root, "exec", "box", "sh", "-c", "echo inside; exec sleep 999"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as session:
        try:
            assert session.stdout is not None
            assert session.stdout.readline() == "inside\n"
            refused = limosa("checkpoint", "box", status=1)
            assert "LIM-CRIU-020" in refused
            assert "box" in refused
            assert json.loads(limosa("log", "--json")) == [], "nothing is kept"
            limosa("exec", "box", "sh", "-c", "kill $(grep -l 999 /proc/[0-9]*/cmdline | head -1 | tr -dc 0-9)")
            session.wait(timeout=30)
        finally:
            session.kill()
    assert re.fullmatch(r"[0-9a-f]{64}", limosa("checkpoint", "box").strip())
