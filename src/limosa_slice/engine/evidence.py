"""Why two atoms belong together: the features of a pair. What they are worth is in `affinity`."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import median

from limosa_slice.engine.facts import PART, Facts, file_kind, imported_names, stem
from limosa_slice.model.change import Change, Role
from limosa_slice.ports.repository import PastCommit

COMMON = 40  # an identifier in more atoms than this names nothing
WINDOW = 60  # atoms of one file that are further apart than this in the list are not compared
ALL_PAIRS = 400  # up to so many atoms every pair is looked at
LATE = 200  # commits of the history that are "of late"
WIDE = 30  # a commit of the history that touches more files says nothing about any two of them

NAMES = (
    "same file", "line gap", "atoms between", "same hunk", "same function", "same outer definition",
    "same folder", "shared path", "same stem", "same file type", "file kinds low", "file kinds high",
    "shared words", "rarest shared word", "rare shared words", "likeness of words", "likeness of word parts",
    "shared new names", "rarest new name", "shared vanished names", "moved words", "moved lines", "equal new lines",
    "rarest in the files", "rare in the files", "likeness of rare words", "likeness of context",
    "names the other's function", "likeness of function names", "exclusive new names",
    "shared pieces of names", "rarest shared piece",
    "definition and use", "last use and drop", "same name defined", "equal edit", "likeness of edits",
    "smaller size", "larger size", "additions", "removals", "imports", "comments", "white space",
    "change together", "seldom apart", "less known file", "less often alone", "more often alone", "kinds together",
    "atoms", "files", "atoms in smaller file", "atoms in larger file", "usual lines", "usual files",
    "new files", "less changed file", "more changed file", "lines in all", "usual commits",
    "words new to both files", "rarest word new to both files", "words gone from both files",
    "rarest word gone from both files", "shared replacements", "same new file",
    "rarest function named", "definition and only use", "shared new parts", "rarest new part", "name of the file",
    "fewer new names", "more new names", "words of the one in the other", "words of the one with fewer",
    "files import each other", "together of late",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Past:
    """What the history before the base says: who changes with whom, and how large commits are here."""

    touched: Counter[str]
    together: Counter[tuple[str, str]]
    usual_lines: float
    usual_files: float
    alone: Counter[str]
    kinds: Counter[tuple[int, int]]
    lately: Counter[tuple[str, str]]


def read_past(change: Change, history: Iterable[PastCommit]) -> Past:
    """Return the history as far as it concerns the paths of `change`."""
    paths = {path for delta in change.files for path in (delta.old_path, delta.new_path) if path}
    touched: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    lines, files = [], []
    alone: Counter[str] = Counter()
    kinds: Counter[tuple[int, int]] = Counter()
    lately: Counter[tuple[str, str]] = Counter()
    for number, commit in enumerate(history):
        if not commit.paths:
            continue
        if commit.lines:
            lines.append(commit.lines)
        files.append(len(commit.paths))
        if len(commit.paths) <= WIDE:
            here = sorted(path for path in commit.paths if path in paths)
            touched.update(here)
            alone.update(here if len(commit.paths) == 1 else ())
            present = sorted({file_kind(path) for path in commit.paths})
            kinds.update((a, b) for n, b in enumerate(present) for a in present[: n + 1])
            both = [(a, b) for n, b in enumerate(here) for a in here[:n]]
            together.update(both)
            lately.update(both if number < LATE else ())
    usual_lines = float(median(lines)) if lines else 20.0
    usual_files = sum(files) / len(files) if files else 2.0
    return Past(touched, together, usual_lines, usual_files, alone, kinds, lately)


class Evidence:
    """The features of any two atoms of one change."""

    def __init__(self, change: Change, facts: list[Facts], usage: Counter[bytes], past: Past) -> None:
        self.change, self.facts, self.past = change, facts, past
        self.spread = Counter(word for fact in facts for word in fact.added | fact.removed)
        pieces = Counter(piece for fact in facts for piece in fact.pieces)
        self._piece = {piece: 1 / math.log2(1 + n) for piece, n in pieces.items()}
        parts = Counter(part for fact in facts for part in fact.parts)
        self._part = {part: 1 / math.log2(1 + n) for part, n in parts.items()}
        count = len(facts)
        self._worth = {word: 1 / math.log2(1 + n) for word, n in self.spread.items()}
        self._idf2 = {word: math.log((count + 1) / n) ** 2 for word, n in self.spread.items()}
        self._part2 = {part: math.log((count + 1) / n) ** 2 for part, n in parts.items()}
        self._words = [fact.fresh | fact.stale for fact in facts]
        total = math.log(2 + sum(usage.values()))
        self._rare = {w: 1 - math.log(1 + usage[w]) / total for f in facts for w in f.added | f.removed | f.context}
        self._rare_norm = [math.sqrt(sum(self._rare[w] ** 4 for w in words)) for words in self._words]
        self._near_norm = [math.sqrt(sum(self._rare[w] ** 4 for w in fact.context)) for fact in facts]
        self._scope = [frozenset(p.lower() for p in PART.findall(fact.around.encode())) for fact in facts]
        self._norm = [math.sqrt(sum(self._idf2[w] for w in words)) for words in self._words]
        self._part_norm = [math.sqrt(sum(self._part2[p] for p in fact.parts)) for fact in facts]
        paths = [delta.path for delta in change.files]
        self._kind = [file_kind(path) for path in paths]
        self._stem = [stem(path) for path in paths]
        self._stem_parts = [frozenset(p.lower() for p in PART.findall(name.encode())) for name in self._stem]
        self._imports = [imported_names(text) for text in change.texts]
        self._novel = [math.log1p(len(fact.novel)) for fact in facts]
        self._folder = [path.split("/")[:-1] for path in paths]
        self._suffix = [path.rpartition(".")[2] for path in paths]
        self._size = [math.log1p(change.lines(atom)) for atom in change.atoms]
        self._context = (math.log(count), math.log(len(paths)))
        changed = [sum(change.lines(change.atoms[a]) for a in atoms) for atoms in change.by_file]
        sizes = [max(1, len(text.old), len(text.new)) for text in change.texts]
        self._share = [min(2.0, lines / size) for lines, size in zip(changed, sizes, strict=True)]
        self._new = [float(delta.old is None) for delta in change.files]
        self._whole = (math.log1p(sum(changed)), math.log1p(sum(changed) / max(1.0, past.usual_lines)))
        self._usual = (math.log1p(past.usual_lines), past.usual_files)
        self._files: dict[tuple[int, int], tuple[float, ...]] = {}

    def features(self, a: int, b: int) -> list[float]:
        """Return the features of a pair, in the order of NAMES."""
        one, two = self.change.atoms[a], self.change.atoms[b]
        place = [0.0, -1.0, -1.0, 0.0, 0.0, 0.0]
        left, right = self.facts[a], self.facts[b]
        if one.file == two.file:
            gap = abs(one.hunk.new_start - two.hunk.new_start)
            same_hunk = one.role is Role.EDIT is two.role and one.ordinal == two.ordinal
            place = [
                1.0, math.log1p(gap), float(min(20, abs(a - b))), float(same_hunk),
                float(bool(left.around) and left.around == right.around),
                float(bool(left.outer) and left.outer == right.outer),
            ]  # fmt: skip
        pair = (one.file, two.file)
        if pair not in self._files:
            self._files[pair] = self._of_files(*pair)
        names, history, sizes = self._files[pair][:6], self._files[pair][6:12], self._files[pair][12:14]
        ties = self._files[pair][14:]
        low, high = sorted((self._size[a], self._size[b]))
        shape = [
            low, high, float(not left.removed) + (not right.removed), float(not left.added) + (not right.added),
            float(left.imports) + right.imports, float(left.comments) + right.comments, float(left.blank) + right.blank,
        ]  # fmt: skip
        return [
            *place, *names, *self._of_words(a, b), *shape, *history, *self._context, *sizes, *self._usual,
            *self._of_growth(a, b), *self._of_names(a, b), *ties,
        ]  # fmt: skip

    def _of_growth(self, a: int, b: int) -> list[float]:
        """Return how new both files are, how large the change is, and what is new to, or gone from, both files."""
        one, two = self.change.atoms[a].file, self.change.atoms[b].file
        left, right = self.facts[a], self.facts[b]
        new, gone = left.fresh_here & right.fresh_here, left.stale_here & right.stale_here
        return [
            self._new[one] + self._new[two], *sorted((self._share[one], self._share[two])), *self._whole,
            min(5.0, len(new)), max((self._rare[w] for w in new), default=0.0),
            min(5.0, len(gone)), max((self._rare[w] for w in gone), default=0.0),
            min(3.0, len(left.fresh & right.fresh), len(left.stale & right.stale)),
            self._new[one] if one == two else 0.0,
        ]  # fmt: skip

    def _of_names(self, a: int, b: int) -> list[float]:
        """Return what is named by the one and made, or surrounded, by the other; how much both bring and say."""
        left, right = self.facts[a], self.facts[b]
        one, two = self.change.atoms[a].file, self.change.atoms[b].file
        called = {left.around.encode()} & right.words | {right.around.encode()} & left.words
        made = (left.defines & right.added) | (right.defines & left.added)
        parts = left.novel_parts & right.novel_parts
        named = (self._stem_parts[one] & right.parts) | (self._stem_parts[two] & left.parts) if one != two else ()
        norms = sorted((self._norm[a], self._norm[b]))
        both = self._words[a] & self._words[b]
        return [
            max((self._rare[w] for w in called), default=0.0),
            max((1 / max(1, self.spread[w] - 1) for w in made), default=0.0),
            min(5.0, len(parts)), max((self._part[p] for p in parts), default=0.0),
            max((self._part[p] for p in named), default=0.0),
            *sorted((self._novel[a], self._novel[b])),
            sum(self._idf2[w] for w in both) / norms[0] ** 2 if norms[0] else 0.0, norms[0],
        ]  # fmt: skip

    def _of_words(self, a: int, b: int) -> list[float]:
        left, right = self.facts[a], self.facts[b]
        shared = (left.added | left.removed) & (right.added | right.removed)
        worth = [self._worth[w] for w in shared]
        both = self._words[a] & self._words[b]
        norm, part_norm = self._norm[a] * self._norm[b], self._part_norm[a] * self._part_norm[b]
        parts = left.parts & right.parts
        pieces = left.pieces & right.pieces
        novel, gone = left.novel & right.novel, left.gone & right.gone
        moved = len(left.fresh & right.stale) + len(right.fresh & left.stale)
        lines = len(left.lines_in & right.lines_out) + len(right.lines_in & left.lines_out)
        edits = [
            set(left.edit[0]) | {b"+" + w for w in left.edit[1]},
            set(right.edit[0]) | {b"+" + w for w in right.edit[1]},
        ]
        rare = sorted((self._rare[w] for w in shared), reverse=True)[:4]
        rare_norm, near_norm = self._rare_norm[a] * self._rare_norm[b], self._near_norm[a] * self._near_norm[b]
        scopes = self._scope[a], self._scope[b]
        smaller = max(1, min(len(self._words[a]), len(self._words[b])))
        return [
            min(10.0, len(shared)), max(worth, default=0.0), min(6.0, sum(worth)),
            sum(self._idf2[w] for w in both) / norm if norm else 0.0,
            sum(self._part2[p] for p in parts) / part_norm if part_norm else 0.0,
            min(5.0, len(novel)), max((self._worth[w] for w in novel), default=0.0), min(5.0, len(gone)),
            moved / smaller,
            lines / max(1, min(len(left.lines_in | left.lines_out), len(right.lines_in | right.lines_out))),
            min(5.0, len(left.lines_in & right.lines_in) + len(left.lines_out & right.lines_out)),
            rare[0] if rare else 0.0, sum(rare),
            sum(self._rare[w] ** 4 for w in both) / rare_norm if rare_norm else 0.0,
            sum(self._rare[w] ** 4 for w in left.context & right.context) / near_norm if near_norm else 0.0,
            float(left.around.encode() in right.words) + (right.around.encode() in left.words),
            len(scopes[0] & scopes[1]) / max(1, len(scopes[0] | scopes[1])),
            float(min(3, sum(self.spread[w] <= 3 for w in novel))),
            min(4.0, len(pieces)), max((self._piece[p] for p in pieces), default=0.0),
            min(3.0, len(left.defines & right.added) + len(right.defines & left.added)),
            min(3.0, len(left.drops & right.removed) + len(right.drops & left.removed)),
            min(3.0, len(left.defines & right.defines)),
            float(left.edit == right.edit and left.edit != ((), ())),
            len(edits[0] & edits[1]) / max(1, len(edits[0] | edits[1])),
        ]  # fmt: skip

    def _of_files(self, one: int, two: int) -> tuple[float, ...]:
        folders = self._folder[one], self._folder[two]
        depth = 0
        for x, y in zip(*folders, strict=False):
            if x != y:
                break
            depth += 1
        kinds = sorted((self._kind[one], self._kind[two]))
        counts = sorted(math.log(len(self.change.by_file[f])) for f in (one, two))
        return (
            float(folders[0] == folders[1]), depth / max(1, len(folders[0]), len(folders[1])),
            float(self._stem[one] == self._stem[two]), float(self._suffix[one] == self._suffix[two]),
            *map(float, kinds),
            *self._history(one, two), *counts, *self._ties(one, two),
        )  # fmt: skip

    def _ties(self, one: int, two: int) -> tuple[float, float]:
        """Return how many of two files import the other, and how often the two changed together of late."""
        names = self._stem[one].encode(), self._stem[two].encode()
        imports = (names[1] in self._imports[one]) + (names[0] in self._imports[two]) if one != two else 0
        files = self.change.files
        paths = sorted((files[one].old_path or files[one].path, files[two].old_path or files[two].path))
        return float(imports), math.log1p(self.past.lately[paths[0], paths[1]])

    def _history(self, one: int, two: int) -> tuple[float, ...]:
        """Return how often two files change together, of the one, of both; how well the less known is known; how often
        each changes alone; and how often commits with the one kind of file have the other."""
        files, past = self.change.files, self.past
        names = sorted((files[one].old_path or files[one].path, files[two].old_path or files[two].path))
        low, high = sorted((self._kind[one], self._kind[two]))
        either = past.kinds[low, low] + past.kinds[high, high] - past.kinds[low, high]
        habit = past.kinds[low, high] / either if either else -1.0
        seen = [past.touched[name] for name in names]
        alone = sorted(past.alone[name] / n if n else -1.0 for name, n in zip(names, seen, strict=True))
        both = seen[0] if one == two else past.together[names[0], names[1]]
        least = min(seen)
        if not least:
            return (-1.0, -1.0, 0.0, *alone, habit)
        return (both / least, both / (seen[0] + seen[1] - both), math.log1p(least), *alone, habit)

    def candidates(self) -> Iterator[tuple[int, int]]:
        """Return the pairs worth looking at: same file and close, a shared rare identifier; all in a small change."""
        count = len(self.facts)
        if count <= ALL_PAIRS:
            yield from ((a, b) for b in range(count) for a in range(b))
            return
        pairs: set[tuple[int, int]] = set()
        for atoms in self.change.by_file:
            pairs.update((a, b) for b in atoms for a in range(max(atoms[0], b - WINDOW), b))
        places: dict[bytes, list[int]] = defaultdict(list)
        for index, fact in enumerate(self.facts):
            for word in fact.added | fact.removed:
                if self.spread[word] <= COMMON // 4:
                    places[word].append(index)
        for indexes in places.values():
            pairs.update((a, b) for n, b in enumerate(indexes) for a in indexes[:n])
        yield from sorted(pairs)
