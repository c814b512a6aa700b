"""limosa completion: the completion of a shell, made from the verbs' own options so that it cannot go out of date."""

import argparse
from collections.abc import Iterator
from importlib import import_module
from typing import Final

EXAMPLES = """\
examples:
  source <(limosa completion bash)      for this shell; `limosa setup` installs it for all
  source <(limosa completion zsh)       in ~/.zshrc, after compinit
  limosa completion fish | source       in ~/.config/fish/config.fish"""

_BASH: Final = """\
# bash completion of limosa; written by `limosa setup`
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
        words+=" $(limosa "${{COMP_WORDS[@]:1:$((at - 1))}}" ps -a 2>/dev/null | awk 'NR > 1 {{ print $2 }}')"
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -o default -F _limosa limosa
"""
# zsh knows bash's way, and runs such a function as a Bourne shell would.
_ZSH: Final = "autoload -U +X bashcompinit && bashcompinit\n"
_FISH_NAMES: Final = "(limosa ps -a 2>/dev/null | awk 'NR > 1 { print $2 }')"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("shell", choices=("bash", "zsh", "fish"))


def run(args: argparse.Namespace) -> int:
    """Run the verb."""
    print(script(args.shell), end="")
    return 0


def script(shell: str = "bash") -> str:
    """Return the completion script: verbs, their options and sub-verbs, and the names of containers."""
    from limosa.cli.dispatch import VERBS

    verbs = {verb: summary for verb, (_, summary) in VERBS.items() if summary}
    words = {verb: _words(VERBS[verb][0]) for verb in verbs}
    if shell == "fish":
        return "".join(f"complete -c limosa {line}\n" for line in _fish(verbs, words))
    cases = [f'    {verb}) words="{" ".join(words[verb])}" ;;' for verb in verbs]
    bash = _BASH.format(verbs=" ".join(verbs), cases="\n".join(cases))
    return _ZSH + bash if shell == "zsh" else bash


def _fish(verbs: dict[str, str], words: dict[str, list[str]]) -> Iterator[str]:
    """Tell verbs with what they do, and behind each its words; files are offered as for any command."""
    yield "-n __fish_use_subcommand -l root -r"
    for verb, summary in verbs.items():
        yield f"-n __fish_use_subcommand -f -a {verb} -d {_quoted(summary)}"
        behind = f"-n '__fish_seen_subcommand_from {verb}'"
        for word in words[verb]:
            yield f"{behind} -l {word[2:]}" if word.startswith("--") else f"{behind} -a {word}"
        yield f"{behind} -a {_quoted(_FISH_NAMES)}"


def _quoted(text: str) -> str:
    inside = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{inside}'"


def _words(module_name: str) -> list[str]:
    from limosa.cli import parser

    made = parser.made("", "", "", import_module(f"limosa.cli.{module_name}").configure)
    words: list[str] = []
    for action in made._actions:  # argparse has no public way to ask
        words += [option for option in action.option_strings if option.startswith("--")]
        if isinstance(action, argparse._SubParsersAction):
            words += list(action.choices)
    return words
