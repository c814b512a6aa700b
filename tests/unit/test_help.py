"""Every verb, and every verb of a verb, shows in its help how it is used."""

import argparse
from importlib import import_module

import pytest

from limosa.cli import dispatch, parser

VERBS = {verb: module for verb, (module, summary) in dispatch.VERBS.items() if summary}


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples(verb: str) -> None:
    module = import_module(f"limosa.cli.{VERBS[verb]}")
    made = parser.made(verb, "…", module.EXAMPLES, module.configure)
    assert f"  limosa {verb}" in made.format_help()
    for action in made._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                assert "examples:\n  limosa " in below.format_help(), below.prog
