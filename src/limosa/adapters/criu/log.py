"""CRIU's log in the container's own terms."""

import re

from limosa.model.errors import LimosaError
from limosa.model.hints import Final

# (pattern in an Error line, code, what it means, what helps)
_DENIED = "limosa's default seccomp profile denies it"
_KNOWN: Final = (
    (r"\[io_uring\]", "LIM-CRIU-012", "a process holds an io_uring", _DENIED),
    (r"anon_inode:\[?bpf", "LIM-CRIU-013", "a process holds a bpf program or map", _DENIED),
    (
        r"Can't get 1:16 opt",
        "LIM-CRIU-002",
        "this criu cannot dump TCP sockets here",
        "limosa setup brings one that can",
    ),
    (r"userfaultfd", "LIM-CRIU-015", "a process holds a userfaultfd", "end it before the checkpoint"),
    (
        r"Can't dump .* socket|Unsupported (?:socket )?(?:family|proto)",
        "LIM-CRIU-016",
        "a process holds a socket of a kind that CRIU cannot dump",
        "close it, or end the process",
    ),
    (r"ghost file", "LIM-CRIU-017", "a removed file is still open and too large to keep", "close it"),
    (
        r"Can't get rlimit",
        "LIM-CRIU-018",
        "the host's root may not read a process's limits",
        "give the container a user namespace of its own (the default)",
    ),
    (
        r"Can't open \d+/ns/\w+ on procfs: Permission denied",
        "LIM-CRIU-032",
        "its first process gave up root and came back from a commit once, and this criu may not look into it again",
        "install a C compiler, with which limosa helps criu, or start it with --init",
    ),
    (r"irmap|inotify", "LIM-CRIU-019", "a file that a process watches with inotify was not found", ""),
)
_ERROR: Final = re.compile(r"Error \((?P<where>[^)]*)\): (?P<what>.*)")


def errors(text: str) -> list[str]:
    """Return the messages of a log's Error lines, first first."""
    found = [match["what"].strip() for line in text.splitlines() if (match := _ERROR.search(line))]
    # Said at every start in an environment without CAP_SYS_RESOURCE, and harmless.
    return [what for what in found if "Can't setup RLIMIT_NOFILE for self" not in what]


def translated(verb: str, text: str, path: str) -> LimosaError:
    """Return what a failed `verb` ("dump" or "restore") means, from its log's `text`; `path`, if any, names the log."""
    where = f"   (log: {path})" if path else ""
    found = errors(text)
    first = found[0] if found else "criu ended without a word"
    for pattern, code, meaning, hint in _KNOWN:
        for message in found:
            if re.search(pattern, message):
                return LimosaError(code, meaning, cause=f"criu {verb}: {message}{where}", hint=hint)
    return LimosaError(
        "LIM-CRIU-001",
        "the processes cannot be checkpointed" if verb == "dump" else "the processes cannot be restored",
        cause=f"criu {verb}: {first}{where}",
        hint="limosa doctor tries a dump and a restore of a small process on this machine",
    )
