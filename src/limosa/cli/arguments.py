"""The arguments of the common commands, read without argparse, which takes 6 ms to load and to be told of all options.

A verb's `configure` tells a `Declarations` what it would tell a parser. `read` then reads an ordinary command line, as
argparse would. Whatever is not ordinary (help, a wrong value, an option that does not exist, a verb with verbs of its
own) is left to argparse, which gets the same declarations and has the last word.
"""

from collections.abc import Callable, Sequence

from limosa.model.hints import TYPE_CHECKING, Any, Final
from limosa.model.value import NamedTuple

if TYPE_CHECKING:
    from argparse import ArgumentParser as Parser
    from argparse import ArgumentTypeError
    from argparse import Namespace as Arguments
else:
    Parser = object

    class Arguments:
        """The values by name, as argparse's Namespace has them."""


__all__ = ["REMAINDER", "SUPPRESS", "Arguments", "NotOrdinary", "Parser", "YES_OR_NO", "read", "wrong"]

REMAINDER: Final = "..."
"""Of argparse: all that follows, options or not."""
SUPPRESS: Final = "==SUPPRESS=="
"""Of argparse: without the option there is no attribute."""
YES_OR_NO: Final = "yes_or_no"
"""The action of an option with a `--no-` form."""
_KNOWN: Final = {"action", "choices", "const", "default", "help", "metavar", "nargs", "type"}
_ACTIONS: Final = ("store", "store_true", "append", YES_OR_NO)


def wrong(text: str) -> "ArgumentTypeError":
    """Return the exception by which a `type` says what is wrong with a value."""
    from argparse import ArgumentTypeError

    return ArgumentTypeError(text)


class NotOrdinary(Exception):
    """This command line is for argparse."""


class _Argument(NamedTuple):
    dest: str
    action: str = "store"
    nargs: str | None = None
    default: Any = None
    kind: Callable[[str], Any] | None = None
    choices: Sequence[str] = ()

    def value(self, text: str) -> Any:
        """Return what `text` means. Raises: NotOrdinary: nothing that is allowed."""
        try:
            found = text if self.kind is None else self.kind(text)
        except Exception as refused:  # argparse asks again, and says it in the right words
            raise NotOrdinary from refused
        if self.choices and found not in self.choices:
            raise NotOrdinary
        return found


class Declarations:
    """What `configure` declares."""

    def __init__(self) -> None:
        self.options: dict[str, _Argument] = {}
        self.positionals: list[_Argument] = []
        self.exclusive: list[_Exclusive] = []

    def add_argument(self, *names: str, **told: Any) -> None:
        """Take one argument down. Raises: NotOrdinary: it is of a kind that only argparse knows."""
        action = told.get("action", "store")
        if action not in _ACTIONS or told.keys() - _KNOWN:
            raise NotOrdinary
        long = _long(names)
        default = told.get("default", False if action == "store_true" else None)
        kept = _Argument(
            _dest(long),
            action,
            told.get("nargs"),
            default,
            told.get("type"),
            told.get("choices", ()),
        )
        if not long.startswith("-"):
            self.positionals.append(kept)
        for name in names if long.startswith("-") else ():
            self.options[name] = kept
            if action == YES_OR_NO and name.startswith("--"):
                self.options[f"--no-{name[2:]}"] = kept

    def add_mutually_exclusive_group(self, *, required: bool = False) -> "_Exclusive":
        """Return what takes arguments of which at most one may be given, or exactly one."""
        group = _Exclusive(self, required=required)
        self.exclusive.append(group)
        return group

    def add_argument_group(self, _title: str) -> "Declarations":
        """A group is only for help."""
        return self

    def __getattr__(self, name: str) -> Any:
        """Refuse everything else that a parser has: verbs of a verb."""
        raise NotOrdinary(name)


class _Exclusive:
    """Arguments that exclude each other."""

    def __init__(self, declared: Declarations, *, required: bool) -> None:
        self._declared = declared
        self._required = required
        self._dests: set[str] = set()

    def add_argument(self, *names: str, **told: Any) -> None:
        """See `Declarations`."""
        self._declared.add_argument(*names, **told)
        self._dests.add(_dest(_long(names)))

    def check(self, values: dict[str, Any]) -> None:
        """Raise NotOrdinary if several are among `values`, or none that is needed."""
        given = len(self._dests & values.keys())
        if given > 1 or (self._required and not given):
            raise NotOrdinary


def _long(names: Sequence[str]) -> str:
    return next((name for name in names if name.startswith("--")), names[0])


def _dest(long: str) -> str:
    return long.lstrip("-").replace("-", "_")


def read(configure: Callable[[Any], None], argv: Sequence[str]) -> Arguments:
    """Return the arguments in `argv`. Raises: NotOrdinary: argparse has to look at them."""
    declared = Declarations()
    configure(declared)
    values: dict[str, Any] = {}
    at = 0
    others: list[str] = []
    ended = False  # the run of arguments that are no options
    remainder = bool(declared.positionals) and declared.positionals[-1].nargs == REMAINDER
    if "--" in argv:
        raise NotOrdinary
    while at < len(argv):
        word = argv[at]
        if not word.startswith("-") or word == "-":
            if ended:
                raise NotOrdinary
            if remainder and len(others) == len(declared.positionals) - 1:
                others += argv[at:]
                break
            others.append(word)
            at += 1
            continue
        if remainder and len(others) >= len(declared.positionals) - 1 > 0:
            others += argv[at:]
            break
        ended = bool(others)
        at = _option(declared, argv, at, values)
    values.update(_positionals(declared.positionals, others))
    for group in declared.exclusive:
        group.check(values)
    found = Arguments()
    for argument in (*declared.options.values(), *declared.positionals):
        if argument.dest in values:
            setattr(found, argument.dest, values[argument.dest])
        elif argument.default != SUPPRESS:
            default = argument.default
            setattr(found, argument.dest, argument.value(default) if isinstance(default, str) else default)
    return found


def _option(declared: Declarations, argv: Sequence[str], at: int, values: dict[str, Any]) -> int:
    """Read the option at `at` into `values` and return where the next word is."""
    word = argv[at]
    name, equals, value = word.partition("=")
    known = declared.options.get(name if equals else word)
    if known is None and not word.startswith("--"):
        return _cluster(declared, argv, at, values)
    if known is None or (equals and known.action in ("store_true", YES_OR_NO)):
        raise NotOrdinary
    if known.action == "store_true":
        values[known.dest] = True
    elif known.action == YES_OR_NO:
        values[known.dest] = not name.startswith("--no-")
    elif equals:
        _put(known, value, values)
    else:
        at += 1
        _put(known, _next(known, argv, at), values)
    return at + 1


def _cluster(declared: Declarations, argv: Sequence[str], at: int, values: dict[str, Any]) -> int:
    """Read letters behind one dash: flags, the last of which may have a value."""
    rest = argv[at][1:]
    while rest:
        known, rest = declared.options.get(f"-{rest[0]}"), rest[1:]
        if known is None or known.action == YES_OR_NO or rest.startswith("="):
            raise NotOrdinary
        if known.action == "store_true":
            values[known.dest] = True
            continue
        if not rest:
            at += 1
            rest = _next(known, argv, at)
        _put(known, rest, values)
        break
    return at + 1


def _next(known: _Argument, argv: Sequence[str], at: int) -> str:
    """Return the word that is an option's value."""
    if known.nargs is not None or at >= len(argv) or (argv[at].startswith("-") and argv[at] != "-"):
        raise NotOrdinary
    return argv[at]


def _put(known: _Argument, text: str, values: dict[str, Any]) -> None:
    if known.nargs not in (None, "?") or text == "--":
        raise NotOrdinary
    found = known.value(text)
    if known.action == "append":
        values.setdefault(known.dest, list(known.default or ())).append(found)
    else:
        values[known.dest] = found


def _positionals(wanted: list[_Argument], words: list[str]) -> dict[str, Any]:
    """Share the words out: one each, and the rest to the last if it takes several."""
    found: dict[str, Any] = {}
    for index, argument in enumerate(wanted):
        last = index == len(wanted) - 1
        if argument.nargs is None:
            if not words:
                raise NotOrdinary
            found[argument.dest] = argument.value(words[0])
            words = words[1:]
        elif not last or argument.nargs not in ("?", "*", "+", REMAINDER) or (argument.nargs == "+" and not words):
            raise NotOrdinary
        elif argument.nargs == "?":
            if words:
                found[argument.dest] = argument.value(words[0])
            words = words[1:]
        else:
            if words or argument.default is None:
                found[argument.dest] = [argument.value(word) for word in words]
            words = []
    if words:
        raise NotOrdinary
    return found
