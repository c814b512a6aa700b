"""Find the verb, parse its arguments, run it, and turn an error into a message and a status.

A verb is a module of this package with `SUMMARY`, `configure(parser)` and `run(args)`; only the one that is asked for
is imported.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from limosa import __version__
from limosa.cli import arguments
from limosa.model import json_text
from limosa.model.errors import EXIT_FAILURE, EXIT_OK, EXIT_RUN_FAILED, EXIT_USAGE, LimosaError, words_of
from limosa.model.hints import Final

# verb -> (module, what it does)
VERBS: Final = {
    "run": ("run", "make a container and start it"),
    "create": ("create", "make a container that does not run yet"),
    "start": ("start", "start containers"),
    "stop": ("stop", "ask containers to end, and kill those that do not"),
    "pause": ("pause", "stop every process of containers where it is"),
    "unpause": ("unpause", "let paused containers go on"),
    "set": ("set", "change limits and published ports of a container, while it runs and for later"),
    "rename": ("rename", "give a container another name"),
    "restart": ("restart", "stop containers and start them again"),
    "kill": ("kill", "kill containers, or send them another signal"),
    "wait": ("wait", "wait until containers have ended and print their statuses"),
    "rm": ("rm", "remove containers"),
    "ps": ("ps", "list containers"),
    "inspect": ("inspect", "show everything about a container"),
    "port": ("port", "show a container's published ports"),
    "stats": ("stats", "show what containers use, again and again"),
    "events": ("events", "show what happened to containers"),
    "logs": ("logs", "show what a container printed"),
    "attach": ("attach", "join a running container's input, output and terminal"),
    "exec": ("exec", "execute a program in a running container"),
    "top": ("top", "list the processes of a container"),
    "cp": ("cp", "copy files between a container and the host"),
    "enter": ("enter", "get a login shell in a running container"),
    "checkpoint": ("checkpoint", "commit a running container: memory, files and configuration"),
    "log": ("log", "list commits"),
    "show": ("show", "show what a commit holds"),
    "diff": ("diff", "show in what two commits differ: files, processes, memory, settings"),
    "restore": ("restore", "bring a commit back as the container that it was"),
    "fork": ("fork", "start running copies of a commit or a container"),
    "pool": ("pool", "list and remove copies that were made ahead, for forks"),
    "rewind": ("rewind", "take a container back to an earlier commit, in place"),
    "tag": ("tag", "name a commit"),
    "untag": ("untag", "take a commit's name away"),
    "reflog": ("reflog", "list what a container's latest commit was: finds what was rewound"),
    "forget": ("forget", "give commits up"),
    "push": ("push", "send a commit and its image to another host"),
    "fetch": ("fetch", "bring commits and their images from another host"),
    "migrate": ("migrate", "move a running container to another host"),
    "evacuate": ("evacuate", "move running containers away to another host"),
    "migrations": ("migrations", "list what moves, and what a crash has left of it"),
    "host": ("host", "remember, list and check other hosts"),
    "mount": ("mount", "show the files of a commit in a directory, read-only"),
    "umount": ("umount", "take away what mount made"),
    "export": ("export", "write a commit to a file"),
    "import": ("import_commits", "take commits from an exported file"),
    "trust": ("trust", "say whose commits are restored here"),
    "gc": ("gc", "free what no commit needs"),
    "verify": ("verify", "check every chunk of commits against its digest"),
    "recover": ("recover", "finish what a killed command left"),
    "image": ("image", "pull, push, import, build, list, tag, inspect, remove and prune images"),
    "pull": ("pull", "bring images from a registry"),
    "images": ("images", "list images"),
    "login": ("login", "check and keep a password for a registry"),
    "logout": ("logout", "forget a password for a registry"),
    "system": ("system", "show what takes room on the disk, and remove what nobody needs"),
    "template": ("template", "build images of system containers from a distribution's packages"),
    "volume": ("volume", "make, list and remove named volumes"),
    "network": ("network", "make, list and remove networks"),
    "doctor": ("doctor", "show what this machine can do and how to mend what it cannot"),
    "setup": ("setup", "install Debian packages, criu and crun, the boot unit and shell completion"),
    "completion": ("completion", "print a shell's completion of this command line"),
    "slice": ("slice", "make a reviewable series of one huge change in a git repository"),
    "internal-serve": ("internal_serve", ""),  # what another host starts
    "internal-exited": ("internal_exited", ""),  # what the monitor calls
}
# the first verb of each group in the overview
_HEADINGS: Final = {
    "run": "containers",
    "ps": "what is there and what happens",
    "attach": "inside a container",
    "checkpoint": "commits",
    "recover": "after a crash",
    "image": "images",
    "volume": "volumes and networks",
    "doctor": "this machine",
    "slice": "source code",
}
_PASS_STATUS_ON: Final = ("run", "exec", "enter")
_EXIT_STATUSES: Final = """\
exit status:
  0 done · 1 failed · 2 wrong usage · run, exec and enter pass the program's own status on, and use
  125 limosa failed · 126 the command cannot be executed · 127 there is no such command

`limosa VERB --help` has options and examples."""


def run(argv: Sequence[str]) -> int:
    """Run the command line `argv` (without the program's name) and return the exit status."""
    try:
        return _run_and_flush(list(argv))
    except LimosaError as error:
        if error.exit_status == EXIT_FAILURE and _verb(argv) in _PASS_STATUS_ON:
            error.exit_status = EXIT_RUN_FAILED  # 1 is what the program might have ended with
        _tell(error, as_json="--json" in argv)
        return error.exit_status
    except BrokenPipeError:
        # The reader of our output is gone: end like any other program in a pipeline, without a word.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    except KeyboardInterrupt:
        return 130


def _tell(error: LimosaError, *, as_json: bool) -> None:
    try:
        print(json_text.dumps(error.as_json()) if as_json else error, file=sys.stderr, flush=True)
    except OSError:
        pass  # nobody can be told: the status says it


def _run_and_flush(argv: list[str]) -> int:
    """Return the status. Raises: LimosaError, also for what the kernel refused and no part of limosa reckoned with."""
    try:
        status = _run(argv)
    except SystemExit as helped:  # argparse's way to end after a help text
        status = int(helped.code or EXIT_OK)
    except BrokenPipeError:
        raise
    except OSError as refused:
        if _output_is_lost():
            raise _unwritable(refused, "what was done before it stays done") from refused
        raise _unexpected(refused) from refused
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as refused:
        raise _unwritable(refused, "all was done that was asked for; only the output is missing") from refused
    return status


def _output_is_lost() -> bool:
    """Say whether what is still to be printed cannot be: a stream keeps what it could not write."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return True
    return False


def _unwritable(refused: OSError, state: str) -> LimosaError:
    return LimosaError(
        "LIM-CLI-005",
        "what limosa prints cannot be written",
        state=state,
        cause=words_of(refused),
        hint="free room there",
    )


def _unexpected(refused: OSError) -> LimosaError:
    where, trace = "", refused.__traceback__
    while trace is not None:
        where = f"{trace.tb_frame.f_globals.get('__name__')}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return LimosaError(
        "LIM-HOST-004",
        f"the system refused: {words_of(refused)}",
        state="the command ended there; what it had begun may be half done",
        cause=f"nothing in limosa reckons with that here ({where})",
        hint="limosa recover finishes or undoes what was begun",
    )


def _run(argv: list[str]) -> int:
    root, rest = _root_option(argv)
    if root == "" or rest[:1] == ["--root"]:
        raise LimosaError(
            "LIM-CLI-002", "--root takes a directory", hint="limosa --root DIR VERB …", exit_status=EXIT_USAGE
        )
    if not rest or rest[0] in ("-h", "--help", "help"):
        print(_overview())
        return EXIT_OK if rest else EXIT_USAGE
    if rest[0] in ("-V", "--version", "version"):
        print(f"limosa {__version__}")
        return EXIT_OK
    verb, *arguments_given = rest
    if verb not in VERBS:
        raise LimosaError("LIM-CLI-001", f"there is no command {verb!r}", hint=_nearest(verb), exit_status=EXIT_USAGE)
    module_name, summary = VERBS[verb]
    module = import_module(f"limosa.cli.{module_name}")
    if verb == "slice" and arguments_given[:1] not in (["-h"], ["--help"]):
        module.replace_process(arguments_given, root)
    try:
        args = arguments.read(module.configure, arguments_given)
    except arguments.NotOrdinary:
        from limosa.cli import parser

        args = parser.made(verb, summary, module.EXAMPLES, module.configure).parse_args(arguments_given)
    args.root = root
    status: int = module.run(args)
    return status


def _verb(argv: Sequence[str]) -> str:
    _, rest = _root_option(list(argv))
    return rest[0] if rest else ""


def _root_option(argv: list[str]) -> tuple[str | None, list[str]]:
    if argv[:1] == ["--root"] and len(argv) > 1:
        return argv[1], argv[2:]
    if argv and argv[0].startswith("--root="):
        return argv[0].removeprefix("--root="), argv[1:]
    return None, argv


def _overview() -> str:
    lines = ["usage: limosa [--root DIR] VERB …"]
    for verb, (_, summary) in VERBS.items():
        if verb in _HEADINGS:
            lines += ["", f"{_HEADINGS[verb]}:"]
        if summary:
            lines.append(f"  {verb:<12} {summary}")
    return "\n".join([*lines, "", _EXIT_STATUSES])


def _nearest(verb: str) -> str:
    import difflib

    near = difflib.get_close_matches(verb, [name for name, (_, summary) in VERBS.items() if summary], n=1)
    return f"did you mean: limosa {near[0]}" if near else "limosa --help lists the commands"
