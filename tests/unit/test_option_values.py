"""What the options of run, create and set accept, what they mean, and what they refuse."""

import argparse
from pathlib import Path

import pytest

from limosa.cli import arguments, container_options, dispatch, limit_options, values
from limosa.model.container import ContainerConfig, Mount, PublishedPort, RestartPolicy
from limosa.model.errors import LimosaError


@pytest.mark.parametrize(
    ("parse", "text", "meaning"),
    [
        (values.size_bytes, "512m", 512 << 20),
        (values.size_bytes, "64MiB", 64 << 20),
        (values.memory_bytes, "1.5g", 3 << 29),
        (values.memory_bytes, "unlimited", None),
        (values.cpus, "0.5", 0.5),
        (values.cpus, "0", None),
        (values.cpuset, "0-1,3", "0-1,3"),
        (values.cpuset, "all", ""),
        (values.weight, "10000", 10000),
        (values.pids, "-1", None),
        (values.restart_policy, "on-failure:3", RestartPolicy("on-failure", 3)),
        (values.restart_policy, "always", RestartPolicy("always")),
        (values.ulimit, "nofile=1024", ("nofile", 1024, 1024)),
        (values.ulimit, "core=0:unlimited", ("core", 0, (1 << 64) - 1)),
        (values.label, "a.b=c=d", ("a.b", "c=d")),
        (values.label, "bare", ("bare", "")),
        (values.hook, "prestart=/bin/logger x=y", ("prestart", "/bin/logger x=y")),
        (values.device, "/dev/net/tun", "tun"),
        (values.device, "fuse", "fuse"),
        (values.mount, "/a:/b", Mount("bind", "/a", "/b")),
        (values.mount, "/a:/b:ro,noidmap", Mount("bind", "/a", "/b", True, ("noidmap",))),
        (values.mount, "data:/b:ro", Mount("volume", "data", "/b", True)),
        (values.mount, "data:/b:commit=exclude,ro", Mount("volume", "data", "/b", True, policy="exclude")),
        (values.tmpfs, "/t", Mount("tmpfs", "", "/t")),
        (values.tmpfs, "/t:size=64m,mode=1777", Mount("tmpfs", "", "/t", options=("size=64m", "mode=1777"))),
        (values.seccomp, "unconfined", "unconfined"),
        (values.security_option, "seccomp=/etc/x.json", "/etc/x.json"),
        (values.security_option, "no-new-privileges", ""),
    ],
)
def test_what_a_value_means(parse: object, text: str, meaning: object) -> None:
    assert callable(parse)
    assert parse(text) == meaning


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (values.size_bytes, "big"),
        (values.size_bytes, "-5m"),
        (values.memory_bytes, "1k"),
        (values.cpus, "many"),
        (values.cpus, "-1.5"),
        (values.cpus, "nan"),
        (values.cpus, "0.001"),
        (values.cpuset, "0-"),
        (values.cpuset, "a"),
        (values.weight, "0"),
        (values.weight, "10001"),
        (values.pids, "0"),
        (values.restart_policy, "sometimes"),
        (values.restart_policy, "always:3"),
        (values.restart_policy, "on-failure:x"),
        (values.ulimit, "nofile"),
        (values.ulimit, "nofile=5:3"),
        (values.ulimit, "tables=4"),
        (values.label, "=x"),
        (values.setting, "net.ipv4.ip_forward"),
        (values.hook, "lunch=eat"),
        (values.hook, "prestart="),
        (values.device, "sda"),
        (values.mount, "relative/dir:/b"),
        (values.mount, "/a:b"),
        (values.mount, "/a:/"),
        (values.mount, "/a:/b/../c"),
        (values.mount, "/a:/b:ro,rw"),
        (values.mount, "data:/b:noidmap"),
        (values.tmpfs, "t"),
        (values.tmpfs, "/t:size=64m;rm"),
        (values.tmpfs, "/t:exec=1"),
        (values.security_option, "label=x"),
        (values.env_file, "/no/such/place/env"),
    ],
)
def test_what_a_value_refuses(parse: object, text: str) -> None:
    assert callable(parse)
    with pytest.raises(argparse.ArgumentTypeError) as caught:
        parse(text)
    assert any(part in str(caught.value) for part in (text, text.partition(":")[2] or text))


def parsed(*argv: str) -> ContainerConfig:
    return container_options.config(arguments.read(container_options.configure, argv))


def test_an_env_file_comes_before_the_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_HERE", "here")
    (tmp_path / "env").write_text("# a comment\nA=1\nB=two words\n\nFROM_HERE\nC=x=y\n", encoding="utf-8")
    config = parsed("--env-file", str(tmp_path / "env"), "-e", "A=2", "debian")
    assert dict(config.env) == {"A": "2", "B": "two words", "FROM_HERE": "here", "C": "x=y"}


def test_limits_that_are_not_given_keep_their_defaults() -> None:
    config = parsed("debian", "sh", "-c", "--memory 5")
    assert config.limits.pids == 4096
    assert config.limits.memory_bytes is None
    assert config.args == ("sh", "-c", "--memory 5"), "what follows the image is the command's"


def test_set_changes_only_what_is_given() -> None:
    before = parsed("--memory", "64m", "--cpus", "2", "--onboot", "debian")
    given = arguments.read(limit_options.configure, ["--cpus", "unlimited", "--pids", "50", "--no-onboot"])
    after = limit_options.given(given, before)
    assert after.limits == before.limits._replace(cpus=None, pids=50)
    assert after.onboot is False
    assert after._replace(limits=before.limits, onboot=True) == before


def test_two_mounts_at_one_place_are_refused() -> None:
    with pytest.raises(LimosaError) as caught:
        parsed("-v", "/a:/x", "--tmpfs", "/x/", "debian")
    assert (caught.value.code, caught.value.exit_status) == ("LIM-CLI-003", 2)


def test_wrong_usage_is_an_error_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.run(["run", "--memory", "lots", "debian"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error[LIM-CLI-002]: argument -m/--memory: 'lots' is not a size")
    assert "limosa run --help" in said
    assert dispatch.run(["rn"]) == 2
    assert "LIM-CLI-001" in capsys.readouterr().err


@pytest.mark.parametrize("verb", [verb for verb, (_, summary) in dispatch.VERBS.items() if summary])
def test_the_help_of_every_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatch.run([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert f"limosa {verb}" in said.partition("examples:")[2]


def test_ranges_of_the_hosts_ports() -> None:
    found = values.port_range("127.0.0.1:8080-8089:80/udp")
    assert found == (PublishedPort(8080, 80, "udp", "127.0.0.1"), 8089)
    assert values.port_range("[::1]:8080-8081:80") == (PublishedPort(8080, 80, "tcp", "::1"), 8081)
    assert values.port_range("8080:80") == (PublishedPort(8080, 80), 8080)
    assert values.port_range("80") == (PublishedPort(0, 80), 0)
    for wrong in ("8080-:80", "8090-8080:80", "0-5:80", "8080-70000:80", "a-b:80", "8080-8081:80-81", "8080-8081"):
        with pytest.raises(argparse.ArgumentTypeError):
            values.port_range(wrong)


@pytest.mark.parametrize("text", ["data:/b:commit=none", "/a:/b:commit=include", "d:/b:commit=include,commit=exclude"])
def test_a_mount_says_one_policy_and_only_of_a_volume(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        values.mount(text)
