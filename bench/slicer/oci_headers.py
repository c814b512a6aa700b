"""Write a C header with the types of a container's configuration, from the schemas of the OCI runtime specification.

    oci_headers.py SCHEMA_FOLDER INTO

crun includes such a header, made by a project of its own that its repository only refers to. To compile crun's files without it,
the declarations are enough: a struct per object, a pointer and a length per array, a flag beside each number and bool that
says whether it was given. SCHEMA_FOLDER is .../runtime-spec/schema of Debian's golang-github-opencontainers-specs-dev.
LATER are properties that are younger than that package's. Nothing can be linked with it.
"""  # noqa: E501

import json
import os
import re
import sys
from typing import Any

NUMBERS = {f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)}
CONTEXTS = """#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <json-c/json.h>
#include <yajl/yajl_gen.h>
#include <yajl/yajl_tree.h>
typedef char *parser_error;
struct parser_context { unsigned int options; FILE *errfile; };
#define OPT_PARSE_STRICT 1
#define OPT_GEN_SIMPLIFY 4
typedef void json_gen_ctx;
typedef enum { json_gen_status_ok, json_gen_beautify } json_gen_status;
json_gen_ctx *json_gen_init();
void json_gen_free();
"""
WRITERS = ("array_close", "array_open", "bool", "config", "get_buf", "map_close", "map_open", "number", "string")
ALSO = {"class": "_class", "l3_cache_schema": "l3cache_schema"}  # what other versions of the header call a field
STRING = {"type": "string"}
NUMBER = {"$ref": "defs.json#/definitions/int32"}
LARGE = {"$ref": "defs.json#/definitions/uint64"}
MAPPINGS = {"type": "array", "items": {"$ref": "defs.json#/definitions/IDMapping"}}
OFFSET = {
    "type": "object",
    "properties": {"secs": NUMBER, "nanosecs": NUMBER},
    "title": "runtime_spec_schema_config_linux_time_offsets_element",
}
LATER: dict[str, dict[str, Any]] = {
    "runtime_spec_schema_config_schema": {"domainname": STRING},
    "runtime_spec_schema_config_schema_process": {
        "ioPriority": {"type": "object", "properties": {"class": STRING, "priority": NUMBER}},
        "scheduler": {"type": "object", "properties": {
            "policy": STRING, "nice": NUMBER, "priority": NUMBER, "flags": {"type": "array", "items": STRING},
            "runtime": LARGE, "deadline": LARGE, "period": LARGE,
        }},
        "execCPUAffinity": {"type": "object", "properties": {"initial": STRING, "final": STRING}},
    },
    "runtime_spec_schema_config_linux": {
        "netDevices": {"type": "object", "patternProperties": {".": {
            "type": "object", "properties": {"name": STRING}, "title": "runtime_spec_schema_defs_linux_net_device",
        }}},
        "memoryPolicy": {"type": "object", "properties": {
            "mode": STRING, "nodes": STRING, "flags": {"type": "array", "items": STRING},
        }},
        "timeOffsets": {"type": "object", "properties": {"boottime": OFFSET, "monotonic": OFFSET}},
    },
    "runtime_spec_schema_config_linux_intel_rdt": {
        "enableMonitoring": {"type": "boolean"}, "schemata": {"type": "array", "items": STRING},
    },
    "runtime_spec_schema_config_linux_resources_cpu": {"burst": LARGE, "idle": LARGE},
    "runtime_spec_schema_config_linux_resources_memory": {"checkBeforeUpdate": {"type": "boolean"}},
    "runtime_spec_schema_defs_mount": {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS},
    "runtime_spec_schema_config_linux_seccomp": {"listenerPath": STRING, "listenerMetadata": STRING},
}  # fmt: skip


def snake(name: str) -> str:
    """Return `name` in the manner of the header: blockIO is block_io."""
    name = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name.replace("IDs", "Ids"))
    return re.sub(r"([A-Z])([A-Z][a-z])", r"\1_\2", name).lower()


class Header:
    """The declarations, each after those that it needs."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, Any] = {}
        self.done: dict[str, str] = {}

    def _load(self, name: str) -> Any:
        if name not in self._files:
            with open(os.path.join(self._folder, name)) as file:
                self._files[name] = json.load(file)
        return self._files[name]

    def _resolve(self, schema: dict[str, Any], home: str, name: str) -> tuple[dict[str, Any], str, str]:
        """Return what a schema refers to, the file that has it, and the name of its type."""
        for key in ("anyOf", "oneOf"):
            schema = schema[key][0] if key in schema and "$ref" in schema[key][0] else schema
        while "$ref" in schema:
            file, _, path = schema["$ref"].partition("#")
            home = file.rsplit("/", 1)[-1] or home
            schema, parts = self._load(home), [part for part in path.split("/") if part]
            for part in parts:
                schema = schema[part]
            words = [home.removesuffix(".json").replace("-", "_"), *(snake(p) for p in parts if p != "definitions")]
            if words[0].endswith("_linux") and words[1:2] == ["linux"]:
                words.pop(1)
            name = "_".join(["runtime_spec_schema", *words])
        if "allOf" in schema:  # the properties of all
            parts = [self._resolve(part, home, name)[0] for part in schema["allOf"]]
            schema = {"properties": {key: value for part in parts for key, value in part["properties"].items()}}
        return schema, home, schema.get("title", name)

    def type_of(self, schema: dict[str, Any], home: str, name: str) -> tuple[str, bool]:
        """Return the C type of a value, and whether it is a number; declare what it needs."""
        reference = schema.get("$ref", "").rsplit("/", 1)[-1]
        if reference in NUMBERS:
            return NUMBERS[reference], True
        if reference == "mapStringString":
            return "json_map_string_string *", False
        schema, home, name = self._resolve(schema, home, name)
        kind = schema.get("type") or ("object" if "properties" in schema else "string")
        if "patternProperties" in schema and "properties" not in schema:
            return self._map(next(iter(schema["patternProperties"].values())), home, name), False
        if kind == "object" and "properties" in schema:
            self.declare(schema["properties"], home, name)
            return f"{name} *", False
        if kind == "integer":
            low, high = schema.get("minimum", -1), schema.get("maximum", 2**31 - 1)
            size = "int64_t" if abs(high) >= 2**32 else "int"
            return ("u" + size.replace("int", "int32_t" if size == "int" else "int") if low >= 0 else size), True
        return {"boolean": "bool", "number": "double"}.get(kind, "char *"), kind in ("boolean", "number")

    def _map(self, value: dict[str, Any], home: str, name: str) -> str:
        of, number = self.type_of(value, home, f"{name}_element")
        if of == "char *":
            return "json_map_string_string *"
        base = of.rstrip(" *")
        whole = f"json_map_string_{base}" if number else f"{name}_map"
        self.done.setdefault(whole, f"typedef struct {{ char **keys; {of} *values; size_t len; }} {whole};\n")
        return f"{whole} *"

    def declare(self, properties: dict[str, Any], home: str, name: str) -> None:
        """Declare a struct."""
        if name in self.done:
            return
        self.done[name] = ""
        fields = []
        for key, value in {**properties, **LATER.get(name, {})}.items():
            field = snake(key)
            whole, where, _ = self._resolve(value, home, f"{name}_{field}")
            if whole.get("type") == "array":
                of, _ = self.type_of(whole["items"], where, f"{name}_{field}_element")
                fields.append(f"{of} *{field}; size_t {field}_len;")
            else:
                of, number = self.type_of(value, home, f"{name}_{field}")
                both = f"union {{ {of} {field}; {of} {ALSO[field]}; }};" if field in ALSO else f"{of} {field};"
                fields.append(both + (f" unsigned int {field}_present : 1;" if number else ""))
        made = self.done.pop(name)
        made += "typedef struct {\n" + "".join(f"\t{line}\n" for line in fields) + f"}} {name};\n"
        made += f"void free_{name}({name} *value);\n{name} *clone_{name}({name} *value);\n"
        context = "const struct parser_context *context, parser_error *error"
        made += f"{name} *make_{name}(void *tree, {context});\n"
        made += f"yajl_gen_status gen_{name}(void *to, const {name} *value, {context});\n"
        self.done[name] = made


def main() -> None:
    """Read, write."""
    folder, into = sys.argv[1:3]
    header = Header(folder)
    header.done["json_map_string_string"] = (
        "typedef struct { char **keys; char **values; size_t len; } json_map_string_string;\n"
    )
    root = "runtime_spec_schema_config_schema"
    header.declare(header._load("config-schema.json")["properties"], "config-schema.json", root)
    text = "#pragma once\n" + CONTEXTS + "".join(f"json_gen_status json_gen_{name}();\n" for name in WRITERS)
    text += "".join(header.done.values())
    context = "const struct parser_context *context, parser_error *error"
    text += f"{root} *{root}_parse_file(const char *path, {context});\n"
    text += f"{root} *{root}_parse_data(const char *data, {context});\n"
    text += f"char *{root}_generate_json(const {root} *value, {context});\n"
    os.makedirs(os.path.join(into, "ocispec"), exist_ok=True)
    for place in (into, os.path.join(into, "ocispec")):
        for name in (f"{root}.h", "json_common.h"):
            with open(os.path.join(place, name), "w") as file:
                file.write(text)


if __name__ == "__main__":
    main()
