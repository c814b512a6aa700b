"""`limosa slice`: what one huge change becomes when reasonable people must review it."""

import argparse
import os
import sys
from collections.abc import Sequence

from limosa_slice.adapters.git import GitRepository
from limosa_slice.cli.options import VERBS, parser
from limosa_slice.cli.places import workspace_of
from limosa_slice.cli.session import Session, tell, write_text
from limosa_slice.engine import oracle
from limosa_slice.engine.compose import Composer
from limosa_slice.model.change import Change
from limosa_slice.model.errors import SliceError
from limosa_slice.model.series import Plan, check_complete, parse_plan


def run(verb: str, options: argparse.Namespace) -> int:
    """Carry out one verb and return the exit status. Raises: SliceError."""
    if verb == "check":
        return check(options)
    if verb in ("apply", "explain"):
        return planned(verb, options)
    session = Session(options, options.input)
    try:
        if verb == "slice":
            session.refuse_early()
        tell(f"{len(session.change.atoms)} hunks and parts of hunks in {len(session.change.files)} files")
        slices = session.planner.plan(options.size)
        if verb == "plan":
            if options.plan:
                write_text(options.plan, session.plan_text(slices))
            else:
                print(session.plan_text(slices), end="")
            return 0
        tell(f"{len(slices)} slices are planned")
        return session.finish(session.settle(slices, retitle=True))
    finally:
        session.close()


def planned(verb: str, options: argparse.Namespace) -> int:
    """Carry out a verb that starts from a plan that was written before."""
    name = options.input if verb == "apply" else options.plan
    if not name:
        raise SliceError("LIM-SLICE-018", "explain needs --plan FILE, as plan wrote it", status=2)
    plan = read_plan(name)
    session = Session(options, f"{plan.base}..{plan.head}")
    try:
        check_complete(plan.slices, len(session.change.atoms))
        session.planner.believe(plan)
        if verb == "apply":
            session.refuse_early()
            return session.finish(session.settle(list(plan.slices), retitle=False))
        number = options.input.removeprefix("h")
        if not number.isdigit() or int(number) >= len(session.change.atoms):
            last = len(session.change.atoms) - 1
            raise SliceError(
                "LIM-SLICE-019", f"no hunk is called {options.input}", hint=f"{name} has h0 to h{last}", status=2
            )
        print(session.planner.explain(plan.slices, int(number)))
        return 0
    finally:
        session.close()


def read_plan(name: str) -> Plan:
    """Return the plan in file `name`. Raises: SliceError LIM-SLICE-032: it cannot be read; LIM-SLICE-030."""
    try:
        with open(name, encoding="utf-8") as file:
            return parse_plan(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise SliceError("LIM-SLICE-032", f"cannot read the plan {name}", cause=str(error)) from error


def check(options: argparse.Namespace) -> int:
    """Build and test each commit of a series; return 1 if one fails."""
    if not (options.build or options.test):
        raise SliceError("LIM-SLICE-051", "check needs --build CMD or --test CMD", status=2)
    repository = GitRepository(options.repo)
    base, dots, head = options.input.partition("..")
    if not dots:
        raise SliceError("LIM-SLICE-017", f"{options.input} is not BASE..HEAD", status=2)
    base, head = repository.resolve(base or "HEAD"), repository.resolve(head or "HEAD")
    workspace = workspace_of(options, repository, base)
    failed = False
    try:
        empty = Change(repository.tree_of(base), repository.tree_of(head), (), (), (), ())
        trial = oracle.Trial(Composer(repository, empty), workspace, oracle.Commands(options.build, options.test))
        words = {True: "yes", False: "FAILS", None: "-"}
        print("commit       built tested title")
        for commit in repository.range_commits(base, head):
            outcome = trial.of_tree(repository.tree_of(commit))
            failed = failed or not outcome.passed
            title = repository.message_of(commit).partition("\n")[0]
            print(f"{commit[:12]} {words[outcome.built]:>5} {words[outcome.tested]:>6} {title}{' (flaky)' if outcome.flaky else ''}")  # fmt: skip  # noqa: E501
            if outcome.output:
                print("    " + "\n    ".join(outcome.output.strip().splitlines()[-8:]), flush=True)
    finally:
        workspace.close()
        repository.close()
    return int(failed)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the only place where an error becomes a message and an exit status."""
    args = list(sys.argv[1:] if argv is None else argv)
    verb = args.pop(0) if args and args[0] in VERBS else "slice"
    try:
        status = run(verb, parser().parse_args(args))
        sys.stdout.flush()
        return status
    except SliceError as error:
        print(error.render(), file=sys.stderr)
        return error.status
    except BrokenPipeError:
        # The reader of our output is gone: end like any other program in a pipeline, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        print("interrupted; no branch has moved", file=sys.stderr)
        return 130
