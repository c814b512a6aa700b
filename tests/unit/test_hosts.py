"""What two hosts have to agree about before a container moves: everything is found at once."""

from limosa.model.container import ContainerConfig, Mount, NetworkRequest
from limosa.model.hosts import Facts, Load, findings
from limosa.model.volume import CommittedVolume

MACHINE = Facts("here", "1", "6.1", "x86_64", ("sse", "avx"), "v2", 10**9, 10**10, 0, "4.2")
LAN = (("lan", "uplink", "192.0.2.0/24"),)
CONFIG = ContainerConfig("web", "image", network=NetworkRequest("lan"))
LOAD = Load(10**8, 10**8, (CommittedVolume("data", "reference"), CommittedVolume("kept", "include")))
QUIET = LOAD._replace(volumes=())


def found(
    there: Facts, config: ContainerConfig = CONFIG, here: Facts = MACHINE, keep: bool = True, load: Load = QUIET
) -> list[str]:
    here = here._replace(networks=here.networks or LAN)
    return [
        f"{one.severity}: {one.what}" for one in findings(config, load, here, there, name="web", keep_connections=keep)
    ]


def test_two_equal_hosts_fit() -> None:
    assert found(MACHINE._replace(networks=LAN)) == []


def test_everything_is_found_at_once_and_what_stops_comes_first() -> None:
    other = MACHINE._replace(
        host="there",
        kernel="6.2",
        cpu_flags=("sse",),
        cgroups="hybrid",
        free_memory_bytes=10**8,
        clock_ns=10 * 10**9,
        name_is_taken=True,
        address_is_taken=True,
        ports_taken=("80/tcp",),
        criu="",
        volumes=(("kept", "db"),),
    )
    config = CONFIG._replace(mounts=(Mount("bind", "/srv", "/srv"),))
    lines = found(other, config, load=LOAD)
    for words in (
        *(
            "lacks avx",
            "of memory free",
            "name 'web' is in use",
            "address is in use",
            "port 80/tcp",
            "no network 'lan'",
        ),
        *("no volume 'data'", "volume 'kept' of there would be replaced, and db uses it"),
        *("/srv, a directory", "no criu", "the kernel is 6.2", "cgroups are hybrid", "10 s apart"),
    ):
        assert any(words in line for line in lines), words
    kinds = [line.partition(":")[0] for line in lines]
    assert kinds == sorted(kinds), "stops before warns"


def test_a_feature_that_no_register_needs_only_warns() -> None:
    here = MACHINE._replace(cpu_flags=("sse", "avx", "sha_ni"))
    assert found(MACHINE._replace(networks=LAN), here=here) == ["warns: the processor of here lacks sha_ni"]


def test_an_address_comes_along_only_on_one_segment() -> None:
    nat = (("lan", "bridge", "10.88.0.0/20"),)
    same = MACHINE._replace(networks=nat)
    assert "behind NAT" in found(same, here=same)[0]
    other = MACHINE._replace(networks=(("lan", "bridge", "10.89.0.0/20"),))
    assert found(other, here=same)[0].startswith("stops: network 'lan' is 10.89.0.0/20 there")
    assert found(other, here=same, keep=False) == []
    host = CONFIG._replace(network=NetworkRequest("host"))
    assert found(MACHINE, host)[0].startswith("stops: it is on the host's own network")


def test_a_volume_that_no_commit_has_is_taken_as_it_is_there() -> None:
    load = LOAD._replace(volumes=(CommittedVolume("cache", "exclude"),))
    there = MACHINE._replace(networks=LAN)
    assert found(there, load=load) == ["warns: volume 'cache' will be empty there"]
    for user in ("", "db"):
        there = there._replace(volumes=(("cache", user),))
        assert found(there, load=load) == ["warns: volume 'cache' is taken as it is there"]
