"""A git repository through its plumbing: trees and blobs, never the text of a diff (only its line numbers)."""

import os
import tempfile
from collections.abc import Mapping, Sequence

from limosa_slice.model.change import Entry, FileDelta
from limosa_slice.model.errors import SliceError
from limosa_slice.ports.repository import PastCommit, Person

from . import gitdiff, process

# What a user's configuration must not change.
PLUMBING = (
    "-c",
    "core.quotePath=false",
    "-c",
    "diff.external=",
    "-c",
    "core.autocrlf=false",
    "-c",
    "core.safecrlf=false",
)

COUNTED = 300  # commits of the history whose lines are counted


def encode(path: str) -> bytes:
    """Return the bytes of a path, whatever they are."""
    return path.encode("utf-8", "surrogateescape")


def decode(path: bytes) -> str:
    """Return a path as text from which `encode` gets the same bytes back."""
    return path.decode("utf-8", "surrogateescape")


class GitRepository:
    """The repository that contains `directory`. Implements `ports.repository.Repository`."""

    def __init__(self, directory: str) -> None:
        found = process.run(["git", "-C", directory, "rev-parse", "--absolute-git-dir"])
        if found.status:
            raise SliceError("LIM-SLICE-002", f"{directory} is not in a git repository", cause=found.words())
        self.git_dir = found.stdout.decode("utf-8", "surrogateescape").rstrip("\n")
        self.directory = directory
        self._objects: process.Conversation | None = None
        self._known: dict[bytes, str] = {}
        self._commits_as: dict[str, str] | None = None

    def close(self) -> None:
        """End the helper processes."""
        if self._objects:
            self._objects.close()
            self._objects = None

    def git(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> process.Finished:
        """Run a git command on this repository and return how it ended."""
        return process.run(["git", "--git-dir", self.git_dir, *PLUMBING, *args], stdin=stdin, env=env)

    def must(self, *args: str, stdin: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        """Run a git command that has no reason to fail. Raises: SliceError LIM-SLICE-003."""
        done = self.git(*args, stdin=stdin, env=env)
        if done.status:
            raise SliceError("LIM-SLICE-003", f"git {args[0]} failed", cause=done.words())
        return done.stdout

    def resolve(self, revision: str) -> str:
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{commit}")
        if done.status:
            raise SliceError("LIM-SLICE-010", f"no commit is called {revision}", hint="git log --oneline --all")
        return done.stdout.decode().strip()

    def tree_of(self, revision: str) -> str:
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", revision + "^{tree}")
        if done.status:
            raise SliceError("LIM-SLICE-010", f"no commit or tree is called {revision}")
        return done.stdout.decode().strip()

    def deltas(self, old_tree: str, new_tree: str) -> list[FileDelta]:
        common = ("--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none", old_tree, new_tree)
        raw = self.must("diff-tree", "-r", "-M", "--raw", "-z", "--no-abbrev", *common)
        # Not with -z: there a line feed in a path would reach the headers.
        patch = self.must("diff-tree", "-r", "-M", "-p", "-U0", "--full-index", *common)
        return gitdiff.parse(raw, patch)

    def entries(self, old_tree: str | None, new_tree: str) -> dict[str, Entry | None]:
        """Return what the paths of `old_tree` (None is an empty one) must become to be `new_tree`; None goes."""
        old = old_tree or self.must("hash-object", "-t", "tree", "--stdin").decode().strip()
        raw = self.must(
            "diff-tree", "-r", "--no-renames", "--raw", "-z", "--no-abbrev", "--ignore-submodules=none", old, new_tree
        )
        return gitdiff.parse_entries(raw)

    def blob(self, oid: str) -> bytes:
        if self._objects is None:
            self._objects = process.Conversation(["git", "--git-dir", self.git_dir, "cat-file", "--batch"])
        answer = self._objects.ask(oid.encode()).split()
        if len(answer) != 3:
            raise SliceError("LIM-SLICE-011", f"object {oid} is missing", hint="git fetch --unshallow, or --refetch")
        data = self._objects.read(int(answer[2]))
        self._objects.read(1)
        return data

    def write_blobs(self, contents: Sequence[bytes]) -> list[str]:
        missing = [data for data in dict.fromkeys(contents) if data not in self._known]
        if missing:
            with tempfile.TemporaryDirectory(prefix="limosa-slice-") as folder:
                names = []
                for number, data in enumerate(missing):
                    names.append(f"{folder}/{number}")
                    with open(names[-1], "wb") as out:
                        out.write(data)
                listing = "\n".join(names).encode() + b"\n"
                oids = self.must("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=listing).split()
            for data, oid in zip(missing, oids, strict=True):
                self._known[data] = oid.decode()
        return [self._known[data] for data in contents]

    def write_tree(self, start_tree: str, updates: Mapping[str, Entry | None]) -> str:
        with tempfile.TemporaryDirectory(prefix="limosa-slice-") as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.must("read-tree", start_tree, env=env)
            return self._update(updates, env, "0" * len(start_tree))

    def _update(self, updates: Mapping[str, Entry | None], env: Mapping[str, str], null: str) -> str:
        gone = [f"0 {null}\t".encode() + encode(path) for path, entry in updates.items() if entry is None]
        set_ = [f"{e.mode} {e.oid}\t".encode() + encode(path) for path, e in updates.items() if e is not None]
        if gone or set_:
            self.must("update-index", "-z", "--index-info", stdin=b"\0".join([*gone, *set_]) + b"\0", env=env)
        return self.must("write-tree", "--missing-ok", env=env).decode().strip()

    def commit(self, tree: str, parent: str, message: str, author: Person | None) -> str:
        env = dict(self._committer(author))
        if author:
            env |= {"GIT_AUTHOR_NAME": author.name, "GIT_AUTHOR_EMAIL": author.mail, "GIT_AUTHOR_DATE": author.date}
        text = message.encode("utf-8", "surrogateescape")
        return self.must("commit-tree", tree, "-p", parent, "-F", "-", stdin=text, env=env).decode().strip()

    def _committer(self, author: Person | None) -> dict[str, str]:
        """Return nothing where git knows who commits; else the author does, or this program."""
        if self._commits_as is None:
            known = all(self.git("var", f"GIT_{role}_IDENT").status == 0 for role in ("AUTHOR", "COMMITTER"))
            name, mail = (author.name, author.mail) if author else ("limosa slice", "slice@localhost")
            self._commits_as = {} if known else {
                "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail,
                "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail,
            }  # fmt: skip
        return self._commits_as

    def author_of(self, commit: str) -> Person | None:
        out = self.must("log", "-1", "--no-show-signature", "--format=%an%x00%ae%x00%ad", "--date=raw", commit)
        name, mail, date = out.decode(errors="replace").rstrip("\n").split("\0")
        return Person(name, mail, date) if name else None

    def range_commits(self, base: str, head: str) -> list[str]:
        return self.must("rev-list", "--reverse", "--topo-order", "--no-merges", f"{base}..{head}").decode().split()

    def message_of(self, commit: str) -> str:
        return self.must("log", "-1", "--no-show-signature", "--format=%B", commit).decode(errors="replace")

    def history(self, revision: str, limit: int) -> list[PastCommit]:
        form = ["log", "--no-show-signature", "--no-merges", "--format=%x01%s", "-z", "--no-renames"]
        # Lines are counted by comparing blobs, which is slow and, in a partial clone, may fail; names need only trees.
        few = min(limit, COUNTED)
        done = self.git(*form, f"-n{few}", "--numstat", "--no-ext-diff", "--no-textconv", revision)
        counted = [] if done.status else gitdiff.parse_history(done.stdout)
        named = gitdiff.parse_history(self.must(*form, f"-n{limit}", "--name-only", revision))
        return counted + named[len(counted) :]

    def tree_of_patch(self, base_tree: str, patch: bytes) -> str:
        with tempfile.TemporaryDirectory(prefix="limosa-slice-") as folder:
            env = {"GIT_INDEX_FILE": f"{folder}/index"}
            self.must("read-tree", base_tree, env=env)
            done = self.git("apply", "--cached", "--binary", "--whitespace=nowarn", "-", stdin=patch, env=env)
            if done.status:
                raise SliceError(
                    "LIM-SLICE-012", "the patch does not apply", cause=done.words(),
                    hint="name the commit that it was made from with --base",
                )  # fmt: skip
            return self.must("write-tree", "--missing-ok", env=env).decode().strip()

    def set_branch(self, name: str, commit: str, *, force: bool) -> None:
        ref = f"refs/heads/{name}"
        if self.git("check-ref-format", ref).status:
            raise SliceError("LIM-SLICE-013", f"{name} cannot be the name of a branch")
        args = ["update-ref", "-m", "limosa slice", ref, commit]
        done = self.git(*args) if force else self.git(*args, "")
        if done.status:
            raise SliceError(
                "LIM-SLICE-013", f"branch {name} exists already", cause=done.words(), hint="another name, or --force"
            )

    def format_patch(self, base: str, head: str, directory: str) -> list[str]:
        os.makedirs(directory, exist_ok=True)
        if any(name.endswith(".patch") for name in os.listdir(directory)):
            raise SliceError("LIM-SLICE-015", f"{directory} already holds patches", hint="give an empty directory")
        out = self.must(
            "-c", "format.signOff=false", "-c", "diff.noprefix=false", "-c", "diff.mnemonicPrefix=false",
            "format-patch", "--binary", "--full-index", "-M", "--no-attach", "--no-signature", "--no-ext-diff", "--no-textconv", "--numbered",  # noqa: E501
            "--no-cover-letter", "--ignore-submodules=none", "-o", directory, f"{base}..{head}",
        )  # fmt: skip
        return out.decode("utf-8", "surrogateescape").splitlines()

    def apply_mail(self, base: str, mails: Sequence[str]) -> str:
        with tempfile.TemporaryDirectory(prefix="limosa-slice-") as folder:
            place = f"{folder}/am"
            self.must("worktree", "add", "--quiet", "--detach", "--no-checkout", place, base)
            try:
                own = ["git", "-C", place, *PLUMBING, "-c", "core.fileMode=true", "-c", "core.symlinks=true"]
                identity = {"GIT_COMMITTER_NAME": "limosa slice", "GIT_COMMITTER_EMAIL": "slice@localhost"}
                process.run([*own, "reset", "--hard", "--quiet", base], env=identity)
                done = process.run(
                    [*own, "am", "--quiet", "--keep-cr", "--no-gpg-sign", "--no-3way", "--whitespace=nowarn", *map(os.path.abspath, mails)],  # noqa: E501
                    env=identity,
                )  # fmt: skip
                if done.status:
                    raise SliceError("LIM-SLICE-014", "git am does not take the series back", cause=done.words())
                return process.run([*own, "rev-parse", "HEAD^{tree}"]).stdout.decode().strip()
            finally:
                self.git("worktree", "remove", "--force", place)

    def diff_text(self, old_tree: str, new_tree: str, *, stat_only: bool = False) -> bytes:
        what = ("--stat",) if stat_only else ("-p", "--stat")
        return self.must(
            "diff-tree", "-r", "-M", *what, "--no-ext-diff", "--no-textconv", "--no-color", old_tree, new_tree
        )

    def read_path(self, tree: str, path: str) -> bytes | None:
        done = self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{tree}:{path}")
        return None if done.status else self.blob(done.stdout.decode().strip())
