"""One OpenAPI document out of the services' own, the same for services near and far."""

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from gateway.routing import find_route
from shared.kit.json import JsonObject, canonical, dumps, loads

_METHODS = ("get", "put", "post", "delete", "patch")
_SCHEMA_REF = re.compile(r'"#/components/schemas/([^"/]+)"')
_ERROR_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}}
_ANY_ERROR = {"description": "Any failure, in the one error shape.", "content": _ERROR_CONTENT}
_DESCRIPTION = "All services of a Quarterdeck installation behind its gateway."


def merge(documents: Mapping[str, JsonObject]) -> JsonObject:
    """The result depends on nothing but the documents; `documents` are by service, in the order to show them."""
    renamed = {service: _rename(service, document, _clashes(documents)) for service, document in documents.items()}
    paths: dict[str, JsonObject] = defaultdict(dict)
    schemas: JsonObject = {}
    seen_operations = _repeated_operation_ids(documents)
    for service, document in renamed.items():
        schemas.update(document.get("components", {}).get("schemas", {}))
        for path, item in document.get("paths", {}).items():
            for method in _METHODS:
                if method in item:
                    paths[path][method] = _operation(service, path, method, item[method], seen_operations)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Quarterdeck", "version": "1", "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(_used(paths, schemas).items())),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token from /api/v1/auth/login, or an API key.",
                }
            },
        },
    }


def _operation(service: str, path: str, method: str, operation: JsonObject, repeated: set[str]) -> JsonObject:
    merged = dict(operation)
    if operation.get("operationId") in repeated:
        merged["operationId"] = f"{service}_{operation['operationId']}"
    merged["responses"] = {
        status: {**answer, "content": _ERROR_CONTENT} if status[0] in "45" else answer
        for status, answer in operation.get("responses", {}).items()
    } | {"default": _ANY_ERROR}
    merged.setdefault("tags", [service])
    route = find_route(method.upper(), path)
    if route is not None and route.public:
        merged["security"] = []
    return merged


def _clashes(documents: Mapping[str, JsonObject]) -> set[str]:
    """Names that mean different things in different services."""
    meanings: dict[str, set[bytes]] = defaultdict(set)
    for document in documents.values():
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            meanings[name].add(canonical(schema))
    clashing = {name for name, variants in meanings.items() if len(variants) > 1}
    return clashing | _referring_to(clashing, documents)


def _referring_to(names: set[str], documents: Mapping[str, JsonObject]) -> set[str]:
    """Schemas that look alike, but refer to one that will not be the same everywhere."""
    affected = set(names)
    while True:
        found = {
            name
            for document in documents.values()
            for name, schema in document.get("components", {}).get("schemas", {}).items()
            if name not in affected and affected & set(_SCHEMA_REF.findall(dumps(schema)))
        }
        if not found:
            return affected - names
        affected |= found


def _rename(service: str, document: JsonObject, clashes: set[str]) -> JsonObject:
    """Gives each clashing schema of `document` a name of its service."""
    prefix = "".join(part.title() for part in service.split("_"))

    def reference(match: re.Match[str]) -> str:
        name = match[1]
        return f'"#/components/schemas/{prefix}{name}"' if name in clashes else match[0]

    renamed: JsonObject = loads(_SCHEMA_REF.sub(reference, dumps(document)))
    schemas = renamed.get("components", {}).get("schemas", {})
    if schemas:
        renamed["components"]["schemas"] = {
            f"{prefix}{name}" if name in clashes else name: schema for name, schema in schemas.items()
        }
    return renamed


def _repeated_operation_ids(documents: Mapping[str, JsonObject]) -> set[str]:
    seen: set[str] = set()
    repeated: set[str] = set()
    for document in documents.values():
        for item in document.get("paths", {}).values():
            ids = {item[method].get("operationId") for method in _METHODS if method in item} - {None}
            repeated |= seen & ids
            seen |= ids
    return repeated


def _used(paths: Any, schemas: JsonObject) -> JsonObject:
    """The schemas that some path leads to."""
    waiting = {"ErrorResponse", *_SCHEMA_REF.findall(dumps(paths))}
    used: JsonObject = {}
    while waiting:
        name = waiting.pop()
        if name in schemas and name not in used:
            used[name] = schemas[name]
            waiting.update(_SCHEMA_REF.findall(dumps(schemas[name])))
    return used
