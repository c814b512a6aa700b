"""Which images a Containerfile starts from.

Source: Containerfile(5), "FROM", "ARG", "COPY --from", "RUN --mount=from="; the reference of Dockerfiles.
"""

import re
from collections.abc import Iterator, Mapping

from limosa.model.hints import Final

_FROM: Final = re.compile(r"FROM\s+(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?\s*\Z", re.I)
_ARG: Final = re.compile(r"ARG\s+(.*)\Z", re.I)
_ARGUMENT: Final = re.compile(r"""([A-Za-z_]\w*)(?:=("[^"]*"|'[^']*'|\S*))?""")
_COPY_FROM: Final = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*?--from=(\S+)", re.I)
_MOUNT_FROM: Final = re.compile(r"--mount=\S*?\bfrom=([^,\s]+)")
_VARIABLE: Final = re.compile(r"\$(?:\{([A-Za-z_]\w*)(?::([-+])([^}]*))?\}|([A-Za-z_]\w*))")


def base_images(text: str, build_args: Mapping[str, str]) -> tuple[str, ...]:
    """Return the images that the stages of a Containerfile start or copy from, each once; not "scratch", no stage."""
    variables: dict[str, str] = {}
    stages: set[str] = set()
    found: dict[str, None] = {}
    for line in _instructions(text):
        if arg := _ARG.match(line):
            if not stages and not found:
                for name, value in _ARGUMENT.findall(arg.group(1)):
                    variables[name] = build_args.get(name, value.strip("\"'"))
            continue
        names = []
        begun = _FROM.match(line)
        if begun:
            names.append(_expanded(begun.group(1), variables))
        else:
            names += _COPY_FROM.findall(line) + (_MOUNT_FROM.findall(line) if line[:3].upper() == "RUN" else [])
        for name in names:
            if name.lower() not in stages and name != "scratch" and not name.isdigit():
                found.setdefault(name)
        if begun:
            stages.add((begun.group(2) or f"#{len(stages)}").lower())
    return tuple(found)


def _instructions(text: str) -> Iterator[str]:
    """Yield instructions without comments, continued lines joined."""
    escape = "`" if re.match(r"\s*#\s*escape\s*=\s*`", text) else "\\"
    parts: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.endswith(escape):
            parts.append(stripped[:-1])
            continue
        yield " ".join([*parts, stripped]).strip()
        parts = []
    if parts:
        yield " ".join(parts).strip()


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        name, operator, word = match.group(1) or match.group(4), match.group(2), match.group(3) or ""
        known = variables.get(name, "")
        if operator == "-":
            return known or word
        if operator == "+":
            return word if known else ""
        return known

    return _VARIABLE.sub(value, text)
