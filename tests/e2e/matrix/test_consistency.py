"""One instant: one sequence number in memory, a file, a mapping, SQLite and PostgreSQL, through commits and back.

inside/sequence.py says what has to hold at any instruction, and holds it to it by itself at every write. Here it is
taken through commits, rewinds and copies in an order made up from a seed. All that come back from one commit have to
have found exactly the same, at a number that the commit's moment allows. PostgreSQL's memory and files are compared by
killing its server in a copy and starting it again from its files.
"""

import os
import random
import time
from collections.abc import Sequence
from typing import NamedTuple

import pytest

from tests.e2e.conftest import Limosa
from tests.e2e.matrix.driver import INSIDE
from tests.e2e.shared_host import box, shared
from tests.waiting import eventually

__all__ = ["box", "shared"]

pytestmark = [pytest.mark.privileged, pytest.mark.timeout(3600)]
_PATIENCE_S = 60
_ROUNDS = 20
HOME = "/var/lib/postgresql"
# The program holds still between two writes: everything is looked at, PostgreSQL's server killed, brought back from its
# files, checked, and everything looked at again. $1 is sequence_look.py.
_RESTART = """
set -e
data=15/main
touch hold
while ! test -s held; do sleep 0.05; done
python3 -c "$1" $PWD
kill -9 $(head -n 1 $data/postmaster.pid)
while pgrep -x postgres -r R,S,D >/dev/null; do sleep 0.1; done
rm -f .s.PGSQL.5432* $data/postmaster.pid
PATH=$PATH:/usr/lib/postgresql/15/bin
pg_ctl start -w -s -D $data -l log -o "-c config_file=/etc/postgresql/15/main/postgresql.conf \
    -c external_pid_file=$PWD/pid -c unix_socket_directories=$PWD -c listen_addresses="
python3 -c "$1" $PWD
pg_amcheck -h $PWD --install-missing --heapallindexed postgres
pg_ctl stop -m immediate -s -D $data
"""


class Moment(NamedTuple):
    """A commit, and between which numbers it was made."""

    commit: str
    before: int
    after: int


def source(file: str) -> str:
    with open(f"{INSIDE}/{file}", encoding="utf-8") as opened:
        return opened.read()


class Journey:
    """A container of the program, and what was found of each commit."""

    def __init__(self, host: Limosa) -> None:
        self.host = host
        self.moments: list[Moment] = []
        self.found: dict[str, str] = {}
        self.returns = 0
        argv = ("python3", "-c", source("sequence.py"))
        host("run", "-d", "--name", "one", "--init", "-u", "postgres", "-w", HOME, "pg", *argv)

    def inside(self, name: str, command: str, *words: str) -> str:
        return self.host("exec", "-w", HOME, name, "sh", "-c", command, "sh", *words).strip()

    def number(self, name: str) -> int:
        return int(self.inside(name, "cat torn >&2 && exit 3; cat number 2>/dev/null || echo 0"))

    def until(self, name: str, number: int) -> None:
        eventually(lambda: self.number(name) >= number, _PATIENCE_S)

    def commit(self) -> None:
        before = self.number("one")
        commit = self.host("checkpoint", "one").strip()
        after = self.number("one")
        self.until("one", after + 1)
        self.moments.append(Moment(commit, before, after))

    def came_back(self, name: str, moment: Moment) -> None:
        """Check what a container found when it came back, and that it goes on."""
        generation = self.inside(name, "cat /run/.limosa-generation")
        look = f"grep -F '{generation} ' resumed || cat torn || true"
        eventually(lambda: self.inside(name, look), _PATIENCE_S)
        found = self.inside(name, look)
        assert found.startswith(generation), found
        numbers = found.removeprefix(generation).strip()
        first = int(numbers.split()[0])
        assert moment.before <= first <= moment.after + 1, f"{numbers} is not of the moment {moment}"
        assert self.found.setdefault(moment.commit, numbers) == numbers, f"another copy of {moment} was elsewhere"
        self.until(name, first + 2)
        self.returns += 1

    def rewind(self, moment: Moment) -> None:
        self.host("rewind", "--discard", "one", moment.commit)
        self.came_back("one", moment)

    def fork(self, moment: Moment, *, kill_the_server: bool) -> None:
        (name,) = self.host("fork", "--name", "copy", moment.commit).split()
        self.came_back(name, moment)
        if kill_the_server:
            before, after = self.inside(name, _RESTART, source("sequence_look.py")).splitlines()
            assert before == after, "PostgreSQL's memory and its files are not of one moment"
        self.host("rm", "--force", name)


def _travel(host: Limosa, steps: Sequence[str], chance: random.Random) -> Journey:
    journey = Journey(host)
    journey.until("one", 3)
    journey.commit()
    for index, step in enumerate(steps):
        moment = chance.choice(journey.moments[-10:])
        time.sleep(chance.random() * 0.2)
        if step == "commit":
            journey.commit()
        elif step == "rewind":
            journey.rewind(moment)
        else:
            journey.fork(moment, kill_the_server=index % 3 == 0)
        print(f"{index}: {step}, {journey.number('one')}", flush=True)
    journey.fork(journey.moments[-1], kill_the_server=True)
    host("kill", "--signal", "TERM", "one")
    assert host("wait", "one").strip() == "37", host.logs("one")[-2000:]
    return journey


def test_five_places_agree(box: Limosa) -> None:
    journey = _travel(box, ("rewind", "commit"), random.Random(0))
    assert (len(journey.moments), journey.returns) == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(15))
def test_five_places_agree_through_hundreds_of_rounds(box: Limosa, seed: int) -> None:
    """In fifteen parts, each of which is begun anew. LIMOSA_TEST_SEED gives other journeys."""
    chance = random.Random(int(os.environ.get("LIMOSA_TEST_SEED", "0")) + seed)
    journey = _travel(box, chance.choices(("commit", "rewind", "fork"), (2, 1, 1), k=_ROUNDS), chance)
    print(f"{len(journey.moments)} commits, {journey.returns} came back", flush=True)
    assert journey.returns > _ROUNDS // 4
