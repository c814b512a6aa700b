"""The `OciImages` port: one suite over the layout with skopeo and buildah, and the fake."""

import os
import subprocess
import tarfile

import pytest
from archives import RUN, entry, quiet, refused, rootfs, tar_of, tree
from tests.fakes.oci_images import FakeRegistry
from tests.registry_process import RegistryProcess

from limosa.model.ids import Digest
from limosa.model.oci import RootfsConfig
from limosa.ports.oci_images import BuildRequest, OciImages

Registry = RegistryProcess | FakeRegistry


def test_an_import_is_found_by_every_name_that_it_has(images: OciImages, tmp_path: object) -> None:
    made = images.import_archive(rootfs(tmp_path), "Web".lower(), quiet, RUN)
    assert made.reference == "localhost/web:latest"
    assert (made.cmd, made.env, made.stop_signal, made.labels, made.user) == (
        RUN.cmd,
        RUN.env,
        "SIGINT",
        RUN.labels,
        "7:8",
    )
    for name in (
        "web",
        "web:latest",
        "localhost/web",
        made.digest,
        made.digest[7:19],
        made.digest[7:11],
        f"web@{made.digest}",
    ):
        assert images.resolve(name) == made, name
    assert images.all() == [made]
    tagged = images.tag("web", "127.0.0.1:5000/team/web:2")
    assert tagged.digest == made.digest
    assert images.resolve("127.0.0.1:5000/team/web:2") == tagged
    missing = refused("LIM-IMG-001", lambda: images.resolve("nothing"))
    assert missing.exit_status == 1
    assert all(word in missing.hint for word in ("pull", "build", "import"))
    refused("LIM-IMG-008", lambda: images.resolve("No Name"))
    refused("LIM-IMG-001", lambda: images.resolve("web:3"))


def test_the_same_archive_makes_the_same_image_and_its_directory_the_same_files(
    images: OciImages, tmp_path: object
) -> None:
    plain = rootfs(tmp_path)
    made = images.import_archive(plain, "a", quiet)
    assert images.import_archive(plain, "b", quiet).digest == made.digest
    directory = f"{tmp_path}/tree"
    os.mkdir(directory)
    subprocess.run(["tar", "-C", directory, "--numeric-owner", "-xpf", plain], check=True)
    images.import_archive(directory, "tree", quiet)
    assert tree(images, "tree") == tree(images, "a")


def test_push_and_pull_into_another_root(
    images: OciImages, second: OciImages, registry: Registry, tmp_path: object
) -> None:
    images.import_archive(rootfs(tmp_path), "web", quiet, RUN)
    there = f"{registry.name}/team/web:1"
    images.push("web", there, quiet)
    steps: list[str] = []
    pulled = second.pull(there, lambda what, done, total: steps.append(what))
    assert steps
    assert pulled.reference == there
    assert pulled._replace(reference="", digest="", size_bytes=0) == images.resolve("web")._replace(
        reference="", digest="", size_bytes=0
    )
    assert tree(second, there) == tree(images, "web")
    digest = f"{registry.name}/team/web@{pulled.digest}"
    assert second.pull(digest, quiet).digest == pulled.digest
    missing = refused("LIM-IMG-003", lambda: second.pull(f"{registry.name}/team/none", quiet))
    assert "no such image" in missing.summary
    registry.stop()
    assert "cannot be reached" in refused("LIM-IMG-003", lambda: second.pull(there, quiet)).summary
    assert second.resolve(there).digest == pulled.digest, "a failed pull takes nothing away"


def test_a_second_pull_brings_only_what_is_new_and_a_tag_can_move(
    images: OciImages, second: OciImages, registry: Registry, tmp_path: object
) -> None:
    there = f"{registry.name}/web:1"
    images.import_archive(rootfs(tmp_path), "web", quiet)
    images.push("web", there, quiet)
    first = second.pull(there, quiet)
    assert second.pull(there, quiet) == first
    images.import_archive(rootfs(tmp_path, "other.tar", b"other"), "web", quiet)
    images.push("web", there, quiet)
    moved = second.pull(there, quiet)
    assert moved.digest != first.digest
    assert [one.reference for one in second.all()] == [there]
    assert second.layer_directories(first.layers), "until it is pruned"
    second.prune(frozenset(first.layers))
    assert second.layer_directories(first.layers), "a container needs it"
    second.prune(frozenset())
    refused("LIM-IMG-002", lambda: second.layer_directories(first.layers))
    assert tree(second, there)


def test_a_password_is_checked_kept_and_forgotten(
    images: OciImages, closed_registry: Registry, tmp_path: object
) -> None:
    there = f"{closed_registry.name}/web"
    images.import_archive(rootfs(tmp_path), "web", quiet)
    assert "limosa login" in refused("LIM-IMG-003", lambda: images.push("web", there, quiet)).hint
    refused("LIM-IMG-013", lambda: images.login(closed_registry.name, "godwit", "wrong"))
    refused("LIM-IMG-003", lambda: images.push("web", there, quiet))
    unreachable = refused("LIM-IMG-003", lambda: images.login("127.0.0.1:1", "godwit", "far away"))
    assert "password" not in unreachable.hint
    images.login(closed_registry.name, "godwit", "far away")
    images.push("web", there, quiet)
    images.pull(there, quiet)
    assert images.logout(closed_registry.name)
    assert not images.logout(closed_registry.name)
    refused("LIM-IMG-003", lambda: images.pull(there, quiet))


def test_an_image_goes_with_its_last_name_and_its_layers_with_their_last_user(
    images: OciImages, tmp_path: object
) -> None:
    made = images.import_archive(rootfs(tmp_path), "web", quiet)
    images.tag("web", "again")
    in_use = frozenset(made.layers)
    assert images.remove("web", frozenset()) == ["localhost/web:latest"]
    assert images.resolve("again").layers == made.layers
    assert images.layer_directories(made.layers)
    assert images.remove(made.digest[7:19], in_use) == ["localhost/again:latest"]
    assert images.all() == []
    assert images.layer_directories(made.layers), "a container has it"
    use = images.disk_use(frozenset())
    assert use.layers == 1
    assert use.unused_bytes > 0
    assert images.prune(frozenset()) > 0
    assert images.disk_use(frozenset()).unused_bytes == 0


def test_an_image_whose_layers_are_needed_can_be_sent_without_a_name(
    images: OciImages, second: OciImages, tmp_path: object
) -> None:
    made = images.import_archive(rootfs(tmp_path), "web", quiet)
    assert images.nameless(made.layers) == []
    images.remove("web", frozenset(made.layers))
    images.prune(frozenset(made.layers))
    assert images.all() == []
    (kept,) = images.nameless(made.layers)
    assert kept.digest == made.digest
    with images.as_archive(kept.digest) as archive:
        assert second.import_archive(archive, "web", quiet).layers == made.layers
    images.prune(frozenset())
    assert images.nameless(made.layers) == []
    refused("LIM-IMG-001", lambda: images.as_archive(kept.digest).__enter__())


@pytest.mark.parametrize("content", [b"", b"no archive" * 100])
def test_what_is_no_archive_is_refused(images: OciImages, tmp_path: object, content: bytes) -> None:
    path = f"{tmp_path}/file"
    with open(path, "wb") as file:
        file.write(content)
    refused("LIM-IMG-004", lambda: images.import_archive(path, "bad", quiet))
    refused("LIM-IMG-004", lambda: images.import_archive(f"{tmp_path}/missing", "bad", quiet))
    with open(path, "wb") as file:
        file.write(tar_of([entry("bin", tarfile.DIRTYPE), entry("../escaped", data=b"x")]))
    refused("LIM-IMG-004", lambda: images.import_archive(path, "bad", quiet))
    assert images.all() == []
    assert images.disk_use(frozenset()).layers == 0
    assert images.tidy() == []


def test_an_archive_brings_an_image_to_another_root(images: OciImages, second: OciImages, tmp_path: object) -> None:
    made = images.import_archive(rootfs(tmp_path), "web", quiet, RUN)
    with images.as_archive("web") as place:
        came = second.import_archive(place, "web", quiet)
        other = second.import_archive(place, "other", quiet, RootfsConfig(cmd=("/bin/sh",)))
    assert not os.path.exists(place)
    assert (came.cmd, came.env, came.labels, came.user) == (made.cmd, made.env, made.labels, made.user)
    assert came.layers == other.layers == made.layers
    assert (other.cmd, other.env) == (("/bin/sh",), made.env), "what is not empty replaces"
    assert tree(second, "web") == tree(images, "web")
    refused("LIM-IMG-001", lambda: images.as_archive("nosuch").__enter__())


def test_a_build_adds_to_its_base_or_leaves_nothing(images: OciImages, tmp_path: object) -> None:
    base = images.import_archive(rootfs(tmp_path), "base", quiet, RUN)
    context = f"{tmp_path}/context"
    os.mkdir(context)
    with open(f"{context}/note", "w", encoding="ascii") as file:
        file.write("kept")
    request = BuildRequest(f"{context}/Containerfile", context, "built", labels=(("made", "here"),))
    said: list[str] = []
    for last in ('CMD ["/bin/false"]', 'RUN ["/bin/nosuch"]'):
        with open(request.containerfile, "w", encoding="ascii") as file:
            file.write(f"FROM base\nCOPY note /etc/note\n{last}\n")
        said.clear()
        if last.startswith("RUN"):
            refused("LIM-IMG-005", lambda: images.build(request._replace(reference="failed"), said.append, quiet))
        else:
            images.build(request, said.append, quiet)
        assert any("COPY" in line for line in said)
    assert [image.reference for image in images.all()] == ["localhost/base:latest", "localhost/built:latest"]
    made = images.resolve("built")
    assert made.layers[: len(base.layers)] == base.layers, "shared"
    assert (made.cmd, dict(made.labels)["made"], made.user) == (("/bin/false",), "here", RUN.user)
    with open(f"{images.layer_directories(made.layers)[-1]}/etc/note", encoding="ascii") as file:
        assert file.read() == "kept"


def test_a_layer_that_is_not_here_is_named(images: OciImages) -> None:
    refused("LIM-IMG-002", lambda: images.layer_directories((Digest("sha256:" + "0" * 64),)))


def test_a_workspace_is_empty_and_goes(images: OciImages) -> None:
    with images.workspace() as place:
        assert os.listdir(place) == []
        with open(f"{place}/file", "wb"):
            pass
    assert not os.path.exists(place)
    assert images.tidy() == []
