"""What the port promises, over the real adapters and over the fake."""

import pytest
from cgroup_laboratory import UNLIMITED, Laboratory

from limosa.model.cgroup import CgroupNode
from limosa.model.errors import LimosaError


def test_a_container_has_groups_from_create_to_destroy(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    one, other = laboratory.created(), laboratory.created()
    assert cgroups.present() == sorted([one, other])
    assert cgroups.procs_files(one)
    assert set(cgroups.procs_files(one)).isdisjoint(cgroups.procs_files(other))
    assert all(path.endswith(f"/{one}") for _, path in cgroups.criu_root(one))
    cgroups.destroy(one)
    assert cgroups.present() == [other]


def test_everything_can_be_repeated(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    container_id = laboratory.created()
    cgroups.create(container_id, UNLIMITED, 0)
    cgroups.set_limits(container_id, UNLIMITED)
    cgroups.set_limits(container_id, UNLIMITED)
    for _ in range(2):
        cgroups.freeze(container_id, 1)
    for _ in range(2):
        cgroups.thaw(container_id)
    for _ in range(2):
        cgroups.kill(container_id)
    for _ in range(2):
        cgroups.destroy(container_id)
    assert cgroups.present() == []


def test_a_container_without_groups(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    container_id = laboratory.new_id()
    assert cgroups.processes(container_id) == []
    assert set(cgroups.usage(container_id)) == {0, None}
    assert not cgroups.frozen(container_id)
    assert cgroups.save_subtree(container_id) == ()
    cgroups.thaw(container_id)
    cgroups.kill(container_id)
    for refused in (
        lambda: cgroups.set_limits(container_id, UNLIMITED),
        lambda: cgroups.freeze(container_id, 1),
        lambda: cgroups.exec_procs_files(container_id),
        lambda: cgroups.restore_subtree(container_id, ()),
    ):
        with pytest.raises(LimosaError) as caught:
            refused()
        assert caught.value.code == "LIM-CGRP-004"


def test_processes_are_listed_frozen_thawed_and_killed(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    container_id = laboratory.created()
    pids = sorted(laboratory.member(container_id) for _ in range(3))
    assert cgroups.processes(container_id) == pids
    cgroups.freeze(container_id, 2)
    assert cgroups.frozen(container_id)
    cgroups.thaw(container_id)
    assert not cgroups.frozen(container_id)
    cgroups.freeze(container_id, 2)
    cgroups.kill(container_id)
    assert cgroups.processes(container_id) == []


def test_groups_with_a_process_stay(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    container_id = laboratory.created()
    pid = laboratory.member(container_id)
    with pytest.raises(LimosaError) as caught:
        cgroups.destroy(container_id)
    assert caught.value.code == "LIM-CGRP-003"
    assert cgroups.processes(container_id) == [pid]
    assert cgroups.present() == [container_id]


def test_an_end_takes_what_is_there(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    one, other = laboratory.created(), laboratory.created()
    theirs = laboratory.member(other)
    laboratory.member(one)
    cgroups.end(one)
    assert cgroups.processes(one) == []
    assert cgroups.present() == [other]
    assert cgroups.processes(other) == [theirs]
    cgroups.end(one)


def test_containers_do_not_meet(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    one, other = laboratory.created(), laboratory.created()
    mine, theirs = laboratory.member(one), laboratory.member(other)
    cgroups.freeze(one, 2)
    assert not cgroups.frozen(other)
    cgroups.kill(one)
    assert cgroups.processes(one) == []
    assert cgroups.processes(other) == [theirs]
    assert mine != theirs


def test_a_saved_subtree_can_be_made_in_another_container(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    one, other = laboratory.created(), laboratory.created()
    saved = cgroups.save_subtree(one)
    assert saved
    assert {node.path for node in saved} == {""}
    cgroups.restore_subtree(other, saved)
    assert cgroups.save_subtree(other) == saved


def test_a_subtree_cannot_lead_out_of_the_container(laboratory: Laboratory) -> None:
    container_id = laboratory.created()
    for path in ("../outside", "a/../../outside"):
        with pytest.raises(LimosaError) as caught:
            laboratory.cgroups.restore_subtree(container_id, (CgroupNode("unified", path, 0, 0, 0o755, (), (), ()),))
        assert caught.value.code == "LIM-CGRP-006"
    assert laboratory.cgroups.present() == [container_id]


def test_the_roots_own_group_goes_when_it_is_empty(laboratory: Laboratory) -> None:
    cgroups = laboratory.cgroups
    container_id = laboratory.created()
    cgroups.close()
    assert cgroups.present() == [container_id]
    cgroups.destroy(container_id)
    cgroups.close()
    assert laboratory.created() in cgroups.present()
