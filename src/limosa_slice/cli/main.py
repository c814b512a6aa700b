"""`limosa slice`: what one huge change becomes when reasonable people must review it."""

import argparse
import os
import sys
from collections.abc import Sequence

from limosa_slice.adapters.git import GitRepository
from limosa_slice.adapters.treesitter import TreeSitterSyntax
from limosa_slice.adapters.worktrees import WorktreeWorkspace
from limosa_slice.engine import evidence, oracle, planning, writing
from limosa_slice.engine.atomize import read_change
from limosa_slice.engine.compose import Composer
from limosa_slice.model.change import Change
from limosa_slice.model.errors import SliceError
from limosa_slice.model.series import Slice, check_complete, parse_plan, render_plan

HISTORY = 2000
VERBS = ("plan", "apply", "check", "explain")


def parser() -> argparse.ArgumentParser:
    """Return the parser; the verb has been taken away from the arguments before."""
    made = argparse.ArgumentParser(
        prog="limosa slice", description="plan, apply, check, explain, or (no verb) all at once"
    )
    made.add_argument("input", help="BASE..HEAD or a patch file; apply: a plan; explain: a hunk such as h12")
    made.add_argument("--repo", default=".", metavar="DIR")
    made.add_argument("--base", default="HEAD", help="the commit that a patch file applies to")
    made.add_argument("--build", metavar="CMD")
    made.add_argument("--test", metavar="CMD")
    made.add_argument("--size", type=int, default=150, metavar="LINES")
    made.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for one build or test")
    made.add_argument("-o", dest="branch", metavar="BRANCH")
    made.add_argument("--force", action="store_true", help="move BRANCH if it exists")
    made.add_argument("--format-patch", metavar="DIR")
    made.add_argument("--plan", metavar="FILE", help="plan: write it there; explain: read it from there")
    made.add_argument("--in", dest="container", default="none", metavar="CONTAINER")
    return made


class Session:
    """One run of the command: the repository, the change and its composer."""

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

    def _ends(self, source: str) -> tuple[str, str, str | None]:
        repository = self.repository
        base, dots, head = source.partition("..")
        if dots and not os.path.exists(source):
            if len(head) in (40, 64) and repository.git("cat-file", "-t", head).stdout.strip() == b"tree":
                return repository.resolve(base), head, None
            head = repository.resolve(head or "HEAD")
            return repository.resolve(base or "HEAD"), repository.tree_of(head), head
        try:
            with open(source, "rb") as file:
                patch = file.read()
        except OSError as error:
            raise SliceError(
                "LIM-SLICE-017", f"{source} is neither BASE..HEAD nor a patch", cause=str(error)
            ) from error
        base = repository.resolve(self.options.base)
        return base, repository.tree_of_patch(repository.tree_of(base), patch), None

    def planned(self) -> list[Slice]:
        """Return the plan of the engine."""
        history = self.repository.history(self.base, HISTORY)
        return planning.plan(self.change, self.syntax, self.options.size, history)

    def settle(self, slices: list[Slice]) -> list[Slice]:
        """Return the series with its prefixes built and tested, where there are commands for that."""
        commands = oracle.Commands(self.options.build, self.options.test)
        if not (commands.build or commands.test):
            return slices
        workspace = WorktreeWorkspace(self.repository, self.base, self.options.timeout)
        try:
            facts = evidence.read_facts(self.change, self.syntax)
            return oracle.settle(self.composer, facts, slices, commands, workspace, tell)
        finally:
            workspace.close()

    def finish(self, slices: list[Slice]) -> int:
        """Write the commits, the branch and the mails; print the table. Returns: 1 when a slice fails its commands."""
        options = self.options
        written = writing.write(self.repository, self.composer, self.base, slices, self.author)
        table = self.table(list(written.slices))
        if options.format_patch:
            cover = f"Subject: [PATCH 0/{len(written.commits)}] *** title ***\n\n{table}\n"
            mails = self.repository.format_patch(self.base, written.commits[-1], options.format_patch, cover)
            if self.repository.apply_mail(self.base, mails) != self.head_tree:
                raise SliceError("LIM-SLICE-022", "the mails do not add up to the input", state="the mails are written")
        if options.branch:
            self.repository.set_branch(options.branch, written.commits[-1], force=options.force)
        print(table)
        print(
            f"{len(written.commits)} commits up to {written.commits[-1]}, with the tree of the input, {self.head_tree}"
        )
        return int(any(s.built is False or s.tested is False for s in written.slices))

    def table(self, slices: list[Slice]) -> str:
        """Return a row per slice: files, lines, built, tested, title."""
        words = {True: "yes", False: "FAILS", None: "-"}
        rows = ["  nr files lines built tested title"]
        for number, item in enumerate(slices, 1):
            atoms = [self.change.atoms[a] for a in item.atoms]
            files, lines = len({a.file for a in atoms}), sum(self.change.lines(a) for a in atoms)
            rows.append(f"{number:4} {files:5} {lines:5} {words[item.built]:>5} {words[item.tested]:>6} {item.title}")
        return "\n".join(rows)


def tell(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def run(verb: str, options: argparse.Namespace) -> int:
    """Carry out one verb and return the exit status. Raises: SliceError."""
    if options.container != "none":
        raise SliceError(
            "LIM-SLICE-050",
            "--in CONTAINER is not available in this build yet",
            hint="leave it out: git worktrees are used",
        )
    if verb == "check":
        return check(options)
    if verb in ("apply", "explain"):
        name = options.input if verb == "apply" else options.plan
        if not name:
            raise SliceError("LIM-SLICE-018", "explain needs --plan FILE, as plan wrote it", status=2)
        with open(name, encoding="utf-8") as file:
            base, head, slices = parse_plan(file.read())
        session = Session(options, f"{base}..{head}")
        check_complete(slices, len(session.change.atoms))
        if verb == "apply":
            return session.finish(session.settle(slices))
        number = options.input.removeprefix("h")
        if not number.isdigit() or int(number) >= len(session.change.atoms):
            raise SliceError("LIM-SLICE-019", f"no hunk is called {options.input}", status=2)
        print(planning.explain(session.change, session.syntax, slices, int(number)))
        return 0
    session = Session(options, options.input)
    slices = session.planned()
    if verb == "plan" or options.plan:
        labels = [session.change.label(atom) for atom in session.change.atoms]
        text = render_plan(session.base, session.head, slices, labels)
        if options.plan:
            with open(options.plan, "w", encoding="utf-8") as file:
                file.write(text)
        else:
            print(text, end="")
    return 0 if verb == "plan" else session.finish(session.settle(slices))


def check(options: argparse.Namespace) -> int:
    """Build and test each commit of a series; return 1 if one fails."""
    repository = GitRepository(options.repo)
    base, _, head = options.input.partition("..")
    base, head = repository.resolve(base), repository.resolve(head or "HEAD")
    workspace = WorktreeWorkspace(repository, base, options.timeout)
    failed = False
    try:
        for commit in repository.range_commits(base, head):
            commands = oracle.Commands(options.build, options.test)
            built, tested, output = oracle.try_tree(workspace, repository.tree_of(commit), commands)
            failed = failed or built is False or tested is False
            print(f"{commit[:12]} built {built} tested {tested} {repository.message_of(commit).partition(chr(10))[0]}")
            if output:
                print("    " + "\n    ".join(output.strip().splitlines()[-5:]))
    finally:
        workspace.close()
    return int(failed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the only place where an error becomes a message and an exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    verb = args.pop(0) if args and args[0] in VERBS else "slice"
    try:
        return run(verb, parser().parse_args(args))
    except SliceError as error:
        print(error.render(), file=sys.stderr)
        return error.status
