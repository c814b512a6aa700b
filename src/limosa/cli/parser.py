"""argparse with limosa's words: what `arguments` does not read, and every help text."""

import argparse
import os
from collections.abc import Callable

from limosa.cli import arguments
from limosa.model.errors import EXIT_USAGE, LimosaError
from limosa.model.hints import Any, Final, NoReturn

_COLUMNS: Final = 80
_MISSING: Final = "the following arguments are required: "


def made(verb: str, summary: str, examples: str, configure: Callable[[Any], None]) -> argparse.ArgumentParser:
    """Return the parser of a verb."""
    parser = _Parser(
        prog=f"limosa {verb}",
        description=summary,
        epilog=examples,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    configure(parser)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                _show_examples(below, examples, f"limosa {verb} {name}")
        if action.nargs == arguments.REMAINDER:  # which may be nothing at all: never what is missing
            action.required = False
        if action.default == arguments.SUPPRESS:  # argparse asks whether it is its own, not whether it is the same
            action.default = argparse.SUPPRESS
    return parser


def _show_examples(parser: argparse.ArgumentParser, examples: str, command: str) -> None:
    """Let the help of a verb's verb end with those of the verb's examples that are its own."""
    own = [line for line in examples.splitlines() if f"{line.strip()} ".startswith(f"{command} ")]
    if own and parser.epilog is None:
        parser.epilog = "\n".join(["examples:", *own])
        parser.formatter_class = _Formatter


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Knows how wide the terminal is without `shutil`, which argparse would import for every option that is added."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


def _columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size(1).columns or _COLUMNS
    except (ValueError, OSError):
        return _COLUMNS


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage as every other error is reported."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.register("action", arguments.YES_OR_NO, argparse.BooleanOptionalAction)

    def error(self, message: str) -> NoReturn:
        """Raise LimosaError LIM-CLI-002."""
        hint = f"{self.prog} --help"
        missing = message.removeprefix(_MISSING)
        if missing != message:
            message = f"{missing} {'are' if ', ' in missing else 'is'} missing"
            words = " ".join(self._words(action) for action in self._actions if not action.option_strings)
            hint = f"{self.prog} [OPTION …] {words}; {hint} has the options"
        raise LimosaError("LIM-CLI-002", message, hint=hint, exit_status=EXIT_USAGE)

    def _words(self, action: argparse.Action) -> str:
        name = str(action.metavar or action.dest)
        return f"[{name}]" if action.nargs == arguments.REMAINDER else self._get_formatter()._format_args(action, name)
