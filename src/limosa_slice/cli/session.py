"""One run of the command: the repository, the change, its plan, its trial and what is written."""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Sequence

from limosa_slice.adapters import kernel, process
from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.cli.places import workspace_of
from limosa_slice.engine import oracle, planning, writing
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer
from limosa_slice.engine.page import page
from limosa_slice.engine.repair import Settler
from limosa_slice.engine.wording import cover_letter, without_promises
from limosa_slice.model.change import Change
from limosa_slice.model.errors import SliceError
from limosa_slice.model.series import Plan, Slice, render_plan

HISTORY = 2000
DESCRIBE_S = 300.0


class Session:
    """What one command works on. `close` ends its helper processes."""

    def __init__(self, options: argparse.Namespace, source: str) -> None:
        self.options = options
        self.repository = GitRepository(options.repo)
        self.syntax = TreeSitterSyntax()
        self.base, self.head_tree, head = self._ends(source)
        self.author = self.repository.author_of(head) if head else None
        self.head = head or self.head_tree
        base_tree = self.repository.tree_of(self.base)
        self.change: Change = read_change(self.repository, self.syntax, base_tree, self.head_tree)
        if not self.change.atoms:
            raise SliceError("LIM-SLICE-016", "there is nothing to slice: both trees are the same")
        self.composer = Composer(self.repository, self.change)
        self.planner = planning.Planner(self.change, self.syntax, self.repository.history(self.base, HISTORY))
        self.runs = 0

    def refuse_early(self) -> None:
        """Refuse what could not be written in the end, before hours of builds.

        Raises: SliceError LIM-SLICE-013: the branch exists; LIM-SLICE-015: the folder already holds patches.
        """
        branch, folder = self.options.branch, self.options.format_patch
        if branch and not self.options.force:
            known = self.repository.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
            if known.status == 0:
                raise SliceError("LIM-SLICE-013", f"branch {branch} exists already", hint="another name, or --force")
        if folder and os.path.isdir(folder) and any(name.endswith(".patch") for name in os.listdir(folder)):
            raise SliceError("LIM-SLICE-015", f"{folder} already holds patches", hint="give an empty directory")

    def close(self) -> None:
        """End the helper processes. Safe to repeat."""
        self.repository.close()

    def _ends(self, source: str) -> tuple[str, str, str | None]:
        repository = self.repository
        base, dots, head = source.partition("..")
        if dots and not os.path.exists(source):
            if len(head) in (40, 64) and repository.git("cat-file", "-t", head).stdout.strip() == b"tree":
                return repository.resolve(base), head, None
            if head.startswith("."):  # BASE...HEAD: since they parted
                fork = repository.git("merge-base", repository.resolve(base or "HEAD"), repository.resolve(head[1:] or "HEAD"))  # fmt: skip  # noqa: E501
                base, head = fork.stdout.decode().strip(), head[1:]
            head = repository.resolve(head or "HEAD")
            return repository.resolve(base or "HEAD"), repository.tree_of(head), head
        try:
            with open(source, "rb") as file:
                patch = file.read()
        except OSError as error:
            commit = self.repository.git("rev-parse", "--verify", "--quiet", f"{source}^{{commit}}").status == 0
            raise SliceError(
                "LIM-SLICE-017", f"{source} is neither BASE..HEAD nor a patch", cause=str(error),
                hint=f"from that commit to HEAD: {source}.." if commit else "",
            ) from error  # fmt: skip
        base = repository.resolve(self.options.base)
        return base, repository.tree_of_patch(repository.tree_of(base), patch), None

    def plan(self, slices: Sequence[Slice]) -> Plan:
        """Return `slices` as a plan of this change, with what has been learnt."""
        return Plan(self.base, self.head, tuple(slices), tuple(self.planner.graph.learned))

    def plan_text(self, slices: Sequence[Slice]) -> str:
        """Return the editable plan."""
        return render_plan(self.plan(slices), [self.change.label(atom) for atom in self.change.atoms])

    def settle(self, slices: list[Slice], *, retitle: bool) -> list[Slice]:
        """Return the series with its prefixes built and tested, where there are commands for that.

        Raises: SliceError LIM-SLICE-042: the whole change does not pass, so no series of it can.
        """
        options = self.options
        commands = oracle.Commands(options.build, options.test)
        if not (commands.build or commands.test):
            return slices
        deadline_s = time.monotonic() + options.max_time if options.max_time is not None else float("inf")
        workspace = workspace_of(options, self.repository, self.base)
        try:
            trial = oracle.Trial(self.composer, workspace, commands)
            trial.ahead([frozenset(), frozenset(range(len(self.change.atoms)))])
            whole = trial.of(frozenset(range(len(self.change.atoms))))
            if not whole.passed:
                raise SliceError(
                    "LIM-SLICE-042", "the whole change does not pass its commands, so no series of it can end well",
                    cause="\n".join(whole.output.strip().splitlines()[-12:]), hint="mend the change or the commands",
                )  # fmt: skip
            if not trial.of(frozenset()).passed:
                tell("note: the base itself does not pass; slices are joined until they do")
            title = self.planner.wording.title if retitle else None
            done = Settler(self.planner.graph, trial, title, tell, time.monotonic, deadline_s).settle(slices)
            self.runs = trial.runs
            tell(f"{trial.runs} builds and tests run, {trial.runs / len(done):.1f} per slice, {trial.seconds:.0f} s")
            return done
        finally:
            workspace.close()

    def finish(self, slices: list[Slice]) -> int:
        """Write the commits, the branch, the mails, the page; print the table.

        Returns: 1 when a slice fails its commands or was not tried in time.
        """
        options = self.options
        asked = bool(options.build or options.test)
        messages = [self._message(number, slices) for number in range(len(slices))]
        written = writing.write(self.repository, self.composer, self.base, slices, messages, self.author)
        table = self.table(written.slices)
        if options.format_patch:
            self._mail(written, table)
        if options.html:
            self._page(written)
        if options.plan:
            write_text(options.plan, self.plan_text(slices))
        if options.branch:
            self.repository.set_branch(options.branch, written.commits[-1], force=options.force)
        print(table)
        print(
            f"{len(written.commits)} commits up to {written.commits[-1]}, with the tree of the input, {self.head_tree}"
        )
        if not (options.branch or options.format_patch):
            tell("no branch points at them: -o BRANCH keeps them, --format-patch DIR writes them as mails")
        untried = [s for s in written.slices if s.built is None and s.tested is None] if asked else []
        if untried:
            tell(f"{len(untried)} slices were not tried: the time was up")
        return int(bool(untried) or any(s.built is False or s.tested is False for s in written.slices))

    def _message(self, number: int, slices: Sequence[Slice]) -> str:
        """Return the message of a slice: ours, or what --describe makes of it."""
        item = slices[number]
        needs = planning.needs_of(self.planner.graph.edges, slices, number)
        body = self.planner.wording.body(item, needs)
        message = f"{item.title}\n\n{body}\n" if body else item.title + "\n"
        if not self.options.describe:
            return message
        before = frozenset(a for s in slices[:number] for a in s.atoms)
        diff = self.repository.diff_text(self.composer.tree(before), self.composer.tree(before | set(item.atoms)))
        done = process.run(
            ["sh", "-c", self.options.describe], stdin=diff, env={"LIMOSA_SLICE_MESSAGE": message}, timeout_s=DESCRIBE_S
        )
        theirs = without_promises(done.stdout.decode(errors="replace"))
        if done.status or not theirs:
            tell(f"--describe said nothing of use for slice {number + 1} (status {done.status}); our message is kept")
            return message
        return theirs + "\n"

    def _mail(self, written: writing.Written, table: str) -> None:
        directory = self.options.format_patch
        mails = self.repository.format_patch(self.base, written.commits[-1], directory)
        if self.repository.apply_mail(self.base, mails) != self.head_tree:
            raise SliceError("LIM-SLICE-022", "the mails do not add up to the input", state="the mails are written")
        notes, to = kernel.review(self.repository, self.head_tree, mails)
        stat = self.repository.diff_text(self.change.base_tree, self.head_tree, stat_only=True).decode(errors="replace")
        subject = f"Subject: [PATCH 0/{len(written.commits)}] *** SUBJECT HERE ***"
        head = "\n".join([*(f"To: {name}" for name in to), subject])
        notes = [*notes, *([""] if notes else []), stat]
        write_text(os.path.join(directory, "0000-cover-letter.txt"), cover_letter(head, table, self.base, notes))

    def _page(self, written: writing.Written) -> None:
        trees = [self.change.base_tree, *(self.repository.tree_of(commit) for commit in written.commits)]
        diffs = [self.repository.diff_text(old, new) for old, new in itertools.pairwise(trees)]
        title = f"{self.options.input} in {len(written.slices)} slices"
        edges = self.planner.graph.edges
        write_text(self.options.html, page(title, self.change, written.slices, edges, diffs))

    def table(self, slices: Sequence[Slice]) -> str:
        """Return a row per slice: files, lines, built, tested, title."""
        words = {True: "yes", False: "FAILS", None: "-"}
        rows = ["  nr files lines built tested title"]
        for number, item in enumerate(slices, 1):
            atoms = [self.change.atoms[a] for a in item.atoms]
            files, lines = len({a.file for a in atoms}), sum(self.change.lines(a) for a in atoms)
            rows.append(f"{number:4} {files:5} {lines:5} {words[item.built]:>5} {words[item.tested]:>6} {item.title}")
        return "\n".join(rows)


def write_text(path: str, text: str) -> None:
    """Write a file that the user asked for. Raises: SliceError LIM-SLICE-023: it cannot be written."""
    try:
        with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
    except OSError as error:
        raise SliceError("LIM-SLICE-023", f"cannot write {path}", cause=str(error)) from error


def tell(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)
