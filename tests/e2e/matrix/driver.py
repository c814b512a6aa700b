"""What is done with every program of the matrix, and what is recorded of it for docs/compatibility.md."""

import json
import os
import re
import time
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from tests.e2e.conftest import LIMOSA, Limosa
from tests.e2e.matrix.programs import SECONDS, Program
from tests.e2e.person import Person
from tests.waiting import eventually

INSIDE: Final = os.path.join(os.path.dirname(__file__), "inside")
LOAD: Final = "load"
_PATIENCE_S: Final = 90
_LOAD_SECONDS: Final = (6, 12, 24, 48)  # on a machine with much to do it has to last longer
STEPS: Final = (
    "checkpoint under load",
    "rewind",
    "fork, three copies",
    "restore after rm",
    "load and checkpoint again",
    "logs and exit status",
)


class Walked(NamedTuple):
    """What a walk showed: versions by package, the steps that were gone, how long the container stood still."""

    versions: dict[str, str]
    steps: tuple[str, ...]
    frozen_ms: int


class Walk:
    """One program's way through a commit and back, on a host with its image."""

    def __init__(self, host: Limosa, program: Program, oci_image: str, slowness: int = 1) -> None:
        """`slowness` says how many times as long as usual everything may take, and the load lasts."""
        self.host = host
        self.program = program
        self.oci_image = oci_image
        self.patience_s = _PATIENCE_S * slowness
        self.load_seconds = [seconds * slowness for seconds in _LOAD_SECONDS]
        self.name = program.name
        self.steps: list[str] = []

    def gone(self) -> Walked:
        """Go all the way. Raises: AssertionError: a step did not come to what it has to."""
        self.serve()
        versions = self.versions()
        with self.step("checkpoint under load"):
            commit, before = self.commit_under_load()
        after = self.progress(self.name)
        self.inside(self.name, self.program.damage)
        with self.step("rewind"):
            self.host("rewind", self.name, commit)
            state = self.is_of_the_commit(self.name, before, after)
        with self.step("fork, three copies"):
            self.copies(commit, before, after, state)
        with self.step("restore after rm"):
            self.host("rm", "--force", self.name)
            self.host("restore", commit)
            self.is_of_the_commit(self.name, before, after, state)
        with self.step("load and checkpoint again"):
            again, before = self.commit_under_load()
            after = self.progress(self.name)
        with self.step("logs and exit status"):
            self.ends_as_it_should()
            self.host("restore", again)
            self.is_of_the_commit(self.name, before, after)
            self.ends_as_it_should()
        return Walked(versions, tuple(self.steps), self.frozen_ms(commit))

    @contextmanager
    def step(self, what: str) -> Any:
        began = time.monotonic()
        try:
            yield
        except BaseException as failed:
            failed.add_note(f"{self.program.what}: in the step {what!r}")
            raise
        print(f"{self.name}: {what}: {time.monotonic() - began:.1f} s", flush=True)
        self.steps.append(what)

    def inside(self, name: str, command: str, status: int = 0) -> str:
        return self.host("exec", name, "sh", "-c", command, status=status).strip()

    def serve(self) -> None:
        """Start the program, wait until it serves, and give it data."""
        program = self.program
        self.create(self.name, program.options, program.files, program.argv)
        eventually(lambda: self.succeeds(self.name, program.ready), self.patience_s)
        if program.prepare:
            self.inside(self.name, program.prepare)

    def create(self, name: str, options: tuple[str, ...], files: tuple[str, ...], argv: tuple[str, ...]) -> None:
        self.host("create", "--name", name, *options, self.oci_image, *argv)
        for file in files:
            self.host("cp", f"{INSIDE}/{file}", f"{name}:/srv/{file}")
        self.host("start", name)

    def versions(self) -> dict[str, str]:
        asked = "dpkg-query --show --showformat '${Package} ${Version}\\n' " + " ".join(self.program.packages)
        return dict(line.split() for line in self.inside(self.name, asked).splitlines())

    def commit_under_load(self) -> tuple[str, int]:
        """Return a commit made while the load ran, which noticed nothing, and how far it was before."""
        if not self.program.load:
            commit, before = self.commit()
            eventually(lambda: self.progress(self.name) > before, self.patience_s)
            return commit, before
        for seconds in self.load_seconds:
            load = tuple(str(seconds) if word == SECONDS else word for word in self.program.load)
            self.create(LOAD, self.program.load_options, self.program.load_files, load)
            commit, before = self.commit()
            under_load = self.host.records()[LOAD]["phase"] == "running"
            self.load_noticed_nothing()
            if under_load:
                return commit, before
        raise AssertionError("the load always ends before there is a commit")

    def commit(self) -> tuple[str, int]:
        began = self.progress(self.name)
        eventually(lambda: self.progress(self.name) > began, self.patience_s)
        if self.program.before_commit:
            self.inside(self.name, self.program.before_commit)
        before = self.progress(self.name)
        return self.host("checkpoint", self.name).strip(), before

    def load_noticed_nothing(self) -> None:
        """Wait until the load has ended, as it should."""
        status = self.host("wait", LOAD).strip()
        said = self.host.logs(LOAD)
        self.host("rm", LOAD)
        assert status == str(self.program.load_status), f"the load ended with {status}: {said[-2000:]}"
        assert re.search(self.program.load_says, said), said[-2000:]
        assert not re.search(self.program.load_never_says, said), said[-2000:]

    def progress(self, name: str) -> int:
        return int(self.inside(name, self.program.progress) or 0)

    def is_of_the_commit(self, name: str, before: int, after: int, state: str | None = None) -> str:
        """Check that a container is whole and at the commit's instant, exactly that of `state`. Returns its state."""
        there = self.progress(name)
        by_itself = not self.program.load  # it has gone on since it came back
        assert before <= there and (there < after or by_itself), (
            f"{name} is at {there}; the commit was made between {before} and {after}"
        )
        found = self.inside(name, self.program.state)
        assert state is None or found == state, f"{name} differs from others that come from the same commit"
        self.sound(name)
        if self.program.terminal_shows:
            with Person(LIMOSA, "--root", self.host.root, "attach", name) as person:
                person.see(self.program.terminal_shows)
                person.type("\x10\x11")  # ctrl-p ctrl-q
                assert person.status() == 0
        return found

    def sound(self, name: str) -> None:
        if self.program.sound:
            self.inside(name, self.program.sound)
        if self.program.alive:
            self.inside(name, self.program.alive)

    def copies(self, commit: str, before: int, after: int, state: str) -> None:
        """Three copies are all at the commit, and go their own ways."""
        names = self.host("fork", "-n", "3", "--name", f"{self.name}-copy", commit).split()
        assert len(names) == 3
        for name in names:
            self.is_of_the_commit(name, before, after, state)
        self.inside(names[0], self.program.damage)
        for name in (*names[1:], self.name):
            assert self.inside(name, self.program.state) == state, f"{name} shares what {names[0]} did"
        self.host("rm", "--force", *names)

    def ends_as_it_should(self) -> None:
        program = self.program
        self.host("kill", "--signal", program.stop_signal, self.name)
        status = self.host("wait", self.name).strip()
        assert status == str(program.stop_status), f"it ended with {status}: {self.host.logs(self.name)[-2000:]}"
        assert re.search(program.logs_say, self.host.logs(self.name)), self.host.logs(self.name)[-2000:]

    def frozen_ms(self, commit: str) -> int:
        (one,) = [one for one in json.loads(self.host("log", "--json")) if one["commit_id"] == commit]
        return int(one["frozen_ns"]) // 1_000_000

    def succeeds(self, name: str, command: str) -> bool:
        try:
            self.inside(name, command)
        except AssertionError:
            return False
        return True
