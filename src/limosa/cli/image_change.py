"""`--change` of image import: an instruction of a Containerfile."""

import json
import re
import shlex
from typing import Final

from limosa.cli import arguments

_INSTRUCTIONS: Final = {
    "CMD": "cmd",
    "ENTRYPOINT": "entrypoint",
    "ENV": "env",
    "LABEL": "labels",
    "USER": "user",
    "WORKDIR": "cwd",
    "EXPOSE": "exposed_ports",
    "VOLUME": "volumes",
    "STOPSIGNAL": "stop_signal",
}


def instruction(text: str) -> tuple[str, tuple[str, ...]]:
    """Return (field, words) of an instruction: 'CMD ["a", "b"]', 'CMD=a b', 'ENV A=b', 'USER=web'."""
    match = re.match(r"([A-Za-z]+)[\s=]+(.*)\Z", text, re.S)
    name = match.group(1).upper() if match else ""
    if match is None or name not in _INSTRUCTIONS:
        raise arguments.wrong(f"{text!r} is none of {', '.join(_INSTRUCTIONS)} with a value")
    value = match.group(2).strip()
    try:
        words = json.loads(value) if value.startswith("[") else None
        if words is None:
            in_shell = name in ("CMD", "ENTRYPOINT")
            words = ["/bin/sh", "-c", value] if in_shell else shlex.split(value)
        if name == "EXPOSE":
            words = [word if "/" in word else f"{word}/tcp" for word in words]
        if not words or not all(isinstance(word, str) for word in words):
            raise ValueError("words are needed")
    except ValueError as wrong:
        raise arguments.wrong(f"{text!r}: {wrong}") from wrong
    return _INSTRUCTIONS[name], tuple(words)
