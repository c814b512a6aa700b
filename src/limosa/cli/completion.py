"""Bash's completion of the command line, made from the verbs' own options so that it cannot go out of date."""

import argparse
from importlib import import_module
from typing import Final

_TEMPLATE: Final = """# bash completion of limosa; written by `limosa setup`
_limosa() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} at=1 words=
    [[ ${{COMP_WORDS[1]}} == --root ]] && at=3
    if (( COMP_CWORD == at )); then
        COMPREPLY=($(compgen -W "{verbs} --root" -- "$word"))
        return
    fi
    case ${{COMP_WORDS[at]}} in
{cases}
    esac
    if [[ $word != -* ]]; then
        words+=" $(limosa "${{COMP_WORDS[@]:1:at-1}}" ps -a 2>/dev/null | awk 'NR > 1 {{ print $2 }}')"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _limosa limosa
"""


def script() -> str:
    """Return the completion script: verbs, their options and sub-verbs, and the names of containers."""
    from limosa.cli.dispatch import VERBS

    verbs = [verb for verb, (_, summary) in VERBS.items() if summary]
    cases = [f'    {verb}) words="{" ".join(_words(VERBS[verb][0]))}" ;;' for verb in verbs]
    return _TEMPLATE.format(verbs=" ".join(verbs), cases="\n".join(cases))


def _words(module_name: str) -> list[str]:
    from limosa.cli import parser

    made = parser.made("", "", "", import_module(f"limosa.cli.{module_name}").configure)
    words: list[str] = []
    for action in made._actions:  # argparse has no public way to ask
        words += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):
            words += list(action.choices)
    return words
