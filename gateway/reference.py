"""The API's reference as one plain page: no script, nothing loaded, so it works on a machine without a network."""

import functools
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, Template

from shared.kit.json import JsonObject

_METHODS = ("get", "post", "put", "patch", "delete")
_INDENT = "  "


def render_reference(document: JsonObject) -> str:
    schemas: JsonObject = document["components"]["schemas"]
    return _template().render(
        info=document["info"], sections=_sections(document), shape=functools.partial(shape, schemas)
    )


@functools.cache
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    return Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True).get_template(
        "reference.html"
    )


def _sections(document: JsonObject) -> dict[str, list[JsonObject]]:
    sections: dict[str, list[JsonObject]] = defaultdict(list)
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                operation: JsonObject = {**item[method], "method": method.upper(), "path": path}
                sections[operation["tags"][0]].append(operation)
    return dict(sections)


def shape(schemas: JsonObject, schema: JsonObject, depth: int = 0) -> str:
    """A JSON schema the way a person would note it down: `{name: string, limit?: integer}`."""
    return "".join(_shape(schemas, schema, depth, ()))


def _shape(schemas: JsonObject, schema: JsonObject, depth: int, above: tuple[str, ...]) -> Iterator[str]:
    if reference := schema.get("$ref"):
        name = str(reference).rsplit("/", 1)[-1]
        # A schema that holds itself is named the second time.
        if name in above or name not in schemas:
            yield name
        else:
            yield from _shape(schemas, schemas[name], depth, (*above, name))
    elif variants := schema.get("anyOf") or schema.get("oneOf"):
        yield " | ".join("".join(_shape(schemas, variant, depth, above)) for variant in variants)
    elif "enum" in schema or "const" in schema:
        yield " | ".join(repr(value) for value in schema.get("enum", [schema.get("const")]))
    elif "properties" in schema:
        yield from _object(schemas, schema, depth, above)
    elif schema.get("type") == "array":
        yield from ("[", *_shape(schemas, schema.get("items", {}), depth, above), ", ...]")
    else:
        yield str(schema.get("format") or schema.get("type") or "any")


def _object(schemas: JsonObject, schema: JsonObject, depth: int, above: tuple[str, ...]) -> Iterator[str]:
    required = schema.get("required", [])
    yield "{\n"
    for name, inner in schema["properties"].items():
        yield f"{_INDENT * (depth + 1)}{name}{'' if name in required else '?'}: "
        yield from _shape(schemas, inner, depth + 1, above)
        yield "\n"
    yield f"{_INDENT * depth}}}"
