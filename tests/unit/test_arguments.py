"""What is read without argparse is what argparse reads, and everything else is left to it."""

from importlib import import_module
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limosa.cli import arguments, parser
from limosa.model.errors import LimosaError

VERBS = (
    *("run", "create", "ps", "exec", "inspect", "logs", "start", "stop", "restart", "rm", "kill", "wait", "port"),
    *("stats", "events", "attach", "enter", "top", "pause", "unpause", "rename", "set", "checkpoint", "cp", "pull"),
    *("log", "fork", "restore", "rewind", "tag", "gc", "verify", "doctor", "push", "fetch", "recover"),
)
WORDS = (
    *("web", "db", "busybox", "true", "-", "--", "-5", "a b", "", "x=y", "=", "-x", "--nosuch", "--nosuch=1", "-h"),
    *("1", "512m", "80:80", "/a:/b", "no", "always", "none", "10", "json", "KEY=VALUE", "status=running", "all"),
)


def configure(verb: str) -> Any:
    return import_module(f"limosa.cli.{verb}").configure


def read_by_argparse(verb: str, argv: list[str]) -> Any:
    """Return the values, or how argparse ended."""
    try:
        return vars(parser.made(verb, "", "", configure(verb)).parse_args(argv))
    except LimosaError as wrong:
        return wrong.code
    except SystemExit:
        return "help"


def compare(verb: str, argv: list[str], capsys: Any = None) -> bool:
    """Say whether it was read without argparse; then argparse reads the same."""
    try:
        found = vars(arguments.read(configure(verb), argv))
    except arguments.NotOrdinary:
        return False
    assert found == read_by_argparse(verb, argv), argv
    return True


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("run", "--rm --network none busybox true"),
        ("run", "-it --rm --name web -p 80:80 -p81:81 -eA=B -e C=D busybox sh -c --rm"),
        ("run", "-d --memory=512m --onboot --restart always busybox"),
        ("run", "-dit --no-onboot --sig-proxy=false --seccomp unconfined busybox -x"),
        ("run", "--label a=b --label=c busybox - x"),
        ("create", "busybox"),
        ("exec", "-it -u root web sh -c true"),
        ("exec", "web true"),
        ("ps", ""),
        ("ps", "-aq --filter status=running -f label=x --no-trunc"),
        ("ps", "-n3 --json"),
        ("inspect", "web db"),
        ("logs", "-f --tail 10 web"),
        ("logs", "web -n5"),
        ("stop", "web db"),
        ("rm", "-f web db"),
        ("rm", "web db -f"),
        ("kill", "-s INT web"),
        ("wait", "web"),
        ("stats", ""),
        ("set", "--memory 1g web"),
        ("top", "web -o pid"),
        ("set", "--cpus=1.5 --no-onboot web"),
        ("start", "web db"),
        ("start", "-ai web"),
        ("start", "--onboot"),
    ],
)
def test_ordinary_lines_need_no_argparse(verb: str, line: str) -> None:
    assert compare(verb, line.split())


@pytest.mark.parametrize(
    ("verb", "line"),
    [
        ("run", ""),
        ("run", "--help"),
        ("run", "--rm"),
        ("run", "--nosuch busybox"),
        ("run", "--rm=yes busybox"),
        ("run", "-p busybox"),
        ("run", "-p nonsense busybox"),
        ("run", "--pull sometimes busybox"),
        ("run", "--me 5 busybox"),
        ("run", "--sig-proxy busybox"),
        ("rm", "web -f db"),
        ("rm", ""),
        ("exec", "-- web true"),
        ("start", ""),
        ("start", "--onboot web"),  # they exclude each other
        ("image", "ls"),  # a verb of a verb
    ],
)
def test_what_is_not_ordinary_is_argparses(verb: str, line: str) -> None:
    with pytest.raises(arguments.NotOrdinary):
        arguments.read(configure(verb), line.split())


@given(st.sampled_from(VERBS), st.data())
@settings(max_examples=800, deadline=None)
def test_no_line_is_read_otherwise(verb: str, data: st.DataObject) -> None:
    declared = arguments.Declarations()
    try:
        configure(verb)(declared)
    except arguments.NotOrdinary:
        return
    options = sorted(declared.options)
    joined = [f"{name}{glue}{word}" for name in options for glue in ("=", "") for word in WORDS[:12]]
    words = st.sampled_from((*WORDS, *options, *options, *joined)) if options else st.sampled_from(WORDS)
    compare(verb, data.draw(st.lists(words, max_size=7)))


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_is_argparses(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert read_by_argparse(verb, ["--help"]) == "help"
    assert "options:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("verb", "line", "summary", "usage"),
    [
        ("run", "", "IMAGE is missing", "limosa run [OPTION …] IMAGE [COMMAND …]"),
        ("run", "-d --rm", "IMAGE is missing", "limosa run [OPTION …] IMAGE [COMMAND …]"),
        ("create", "", "IMAGE is missing", "limosa create [OPTION …] IMAGE"),
        ("exec", "", "CONTAINER is missing", "limosa exec [OPTION …] CONTAINER"),
        ("rename", "", "CONTAINER, NEW-NAME are missing", "limosa rename [OPTION …] CONTAINER NEW-NAME"),
        ("inspect", "", "CONTAINER is missing", "limosa inspect [OPTION …] CONTAINER [CONTAINER ...]"),
    ],
)
def test_it_is_said_what_is_missing_and_how_it_is_written(verb: str, line: str, summary: str, usage: str) -> None:
    with pytest.raises(LimosaError) as refused:
        parser.made(verb, "", "", configure(verb)).parse_args(line.split())
    assert refused.value.code == "LIM-CLI-002"
    assert refused.value.summary == summary
    assert refused.value.hint.startswith(usage) and refused.value.hint.endswith("--help has the options")
