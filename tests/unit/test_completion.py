"""What the shells make of our completion."""

import os
import subprocess
import sys

import pytest

ASK = {
    "bash": (
        'eval "$(limosa completion bash)"; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); '
        "_limosa; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    ),
    "zsh": (
        'autoload -U compinit; compinit -u -D; eval "$(limosa completion zsh)"; '
        "ask() {{ emulate -L sh; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _limosa; "
        "printf '%s\\n' \"${{COMPREPLY[@]}}\"; }}; ask"
    ),
    "fish": "limosa completion fish | source; complete -C '{words}' | cut -f 1",
}
START = {"bash": ("bash", "--norc"), "zsh": ("zsh", "-f"), "fish": ("fish", "--no-config")}


def offered(shell: str, words: str) -> set[str]:
    """Return what is offered for a line whose last word is still being typed."""
    env = {**os.environ, "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}", "HOME": "/nonexistent"}
    argv = [*START[shell], "-c", ASK[shell].format(words=words)]
    done = subprocess.run(argv, check=True, capture_output=True, text=True, env=env)
    assert done.stderr == ""
    found = done.stdout.split()
    if shell == "zsh":  # which leaves out what does not begin so when it shows them
        found = [word for word in found if word.startswith(words.rsplit(maxsplit=1)[-1])]
    return set(found)


@pytest.mark.parametrize("shell", ASK)
def test_verbs_and_their_words_are_offered(shell: str) -> None:
    assert offered(shell, "limosa check") == {"checkpoint"}
    assert "--memory" in offered(shell, "limosa run --mem")
    assert offered(shell, "limosa image pus") >= {"push"}
    assert "internal-serve" not in offered(shell, "limosa in")
