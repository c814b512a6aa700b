"""What a name can mean: a parameter is not the function that is called like it."""

import json
from pathlib import Path

import pytest

from limosa_slice.model.outline import outline
from limosa_slice.model.scopes import Scopes, members

PYTHON = b"""\
from box import porcelain, lid as cover
import shelf


class Store:
    def get_parents(self, one):
        return one

    alias = get_parents

    def walk(self, get_parents):
        get_parents(1)
        self.kept = get_parents
        return self.get_parents(2)


def status(repo, *, refs=None):
    for entry in refs:
        pack(entry, lid=1)
    return porcelain.refs(repo) + shelf.box(repo)


def other(repo):
    return refs(repo) + self.refs(repo)
"""


def line_of(text: bytes, part: bytes) -> int:
    """Return the number of the only line that has `part`."""
    (number,) = [n for n, line in enumerate(text.splitlines()) if part in line]
    return number


@pytest.mark.parametrize(
    ("part", "name", "member", "here", "can"),
    [
        (b"    get_parents(1)", b"get_parents", False, True, False),  # a parameter
        (b"    get_parents(1)", b"get_parents", True, True, False),  # no dot
        (b"self.get_parents(2)", b"get_parents", True, True, True),
        (b"self.get_parents(2)", b"get_parents", False, True, False),  # an object is no module
        (b"alias =", b"get_parents", True, True, True),  # inside the class it has its bare name
        (b"self.kept =", b"kept", True, False, False),  # something else is put there
        (b"for entry in refs", b"refs", False, True, False),
        (b"pack(entry", b"lid", False, False, False),  # a keyword of a call
        (b"pack(entry", b"entry", False, True, False),  # what a loop binds
        (b"porcelain.refs", b"refs", False, False, True),  # of a module that is imported
        (b"shelf.box", b"box", False, False, True),
        (b"return refs(repo)", b"refs", False, True, True),
        (b"return refs(repo)", b"refs", False, False, False),  # of another file, and not imported
    ],
)
def test_a_python_name(part: bytes, name: bytes, member: bool, here: bool, can: bool) -> None:
    scopes = Scopes("a.py", PYTHON.splitlines(keepends=True))
    assert scopes.may_mean(name, line_of(PYTHON, part), 1, member=member, here=here) is can


def test_a_member_of_a_class_is_told_from_a_function_of_the_module() -> None:
    lines = PYTHON.splitlines(keepends=True)
    assert members("a.py", outline("a.py", lines)) == {b"get_parents", b"walk"}
    assert members("a.c", outline("a.py", lines)) == frozenset()


C = b"""\
static int run (struct box *box, int limit)
{
  char *name = box->close;
  int size = limit * 2;
  return close (name) + shut (size) + open;
}
"""


@pytest.mark.parametrize(
    ("part", "name", "can"),
    [
        (b"box->close", b"close", False),  # a member of a struct
        (b"return close", b"close", True),
        (b"return close", b"shut", True),
        (b"return close", b"open", True),
        (b"return close", b"size", False),  # a variable of the function
        (b"limit * 2", b"limit", False),  # a parameter
    ],
)
def test_a_c_name(part: bytes, name: bytes, can: bool) -> None:
    scopes = Scopes("a.c", C.splitlines(keepends=True))
    assert scopes.may_mean(name, line_of(C, part), 1, member=False, here=True) is can


def test_the_header_of_a_configuration_has_a_struct_for_each_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bench/slicer compiles crun with: references, arrays, maps and numbers of a schema."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "bench/slicer")
    import oci_headers

    mount = {"type": "object", "properties": {"destination": {"type": "string"}}}
    mapping = {"type": "object", "properties": {"size": {"$ref": "#/definitions/uint32"}}}
    (tmp_path / "defs.json").write_text(
        json.dumps({"definitions": {"Mount": mount, "IDMapping": mapping, "uint32": {}, "mapStringString": {}}})
    )
    schema = {
        "mounts": {"type": "array", "items": {"$ref": "defs.json#/definitions/Mount"}},
        "hostID": {"$ref": "defs.json#/definitions/uint32"},
        "annotations": {"$ref": "defs.json#/definitions/mapStringString"},
    }
    (tmp_path / "config-schema.json").write_text(json.dumps({"properties": schema}))
    monkeypatch.setattr("sys.argv", ["oci_headers.py", str(tmp_path), str(tmp_path / "into")])
    oci_headers.main()
    text = (tmp_path / "into/ocispec/runtime_spec_schema_config_schema.h").read_text()
    assert "runtime_spec_schema_defs_mount * *mounts; size_t mounts_len;" in text
    assert "uint32_t host_id; unsigned int host_id_present : 1;" in text
    assert "json_map_string_string * annotations;" in text
    assert text.index("} runtime_spec_schema_defs_mount;") < text.index("} runtime_spec_schema_config_schema;")
