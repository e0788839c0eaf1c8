"""The merged description of the API."""

import re
from typing import Any

import pytest

from gateway.documentation import Documentation
from gateway.embedded import SERVICES
from gateway.openapi import merge
from gateway.openapi_export import merged_document
from gateway.reference import render_reference
from shared.kit.json import dumps
from shared.web.app import create_app
from tests.gateway.fronts import Echo


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return merged_document()


def test_it_holds_every_services_paths(document: dict[str, Any]) -> None:
    for service in SERVICES:
        for path, item in create_app(service).openapi()["paths"].items():
            assert set(item) <= set(document["paths"][path])


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: dict[str, Any]) -> None:
    referred = set(re.findall(r'"#/components/schemas/([^"]+)"', dumps(document)))
    assert referred == set(document["components"]["schemas"])


def test_operations_have_names_of_their_own_and_one_error_shape(document: dict[str, Any]) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    for operation in operations:
        failures = {status: answer for status, answer in operation["responses"].items() if status[0] not in "23"}
        assert "default" in failures
        for answer in failures.values():
            assert answer["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorResponse"}


def test_a_workflows_graph_is_described(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("WorkflowCreate", "WorkflowOut"):
        nodes = schemas[name]["properties"]["graph"]["properties"]["nodes"]
        assert nodes["items"] == {"$ref": "#/components/schemas/Node"}
    assert {"from", "to", "when", "port"} == set(schemas["Edge"]["properties"])


def test_what_needs_no_sign_in_says_so(document: dict[str, Any]) -> None:
    public = {
        path
        for path, item in document["paths"].items()
        for operation in item.values()
        if operation.get("security") == []
    }
    assert {"/api/v1/auth/login", "/.well-known/jwks.json"} <= public
    assert "/api/v1/models" not in public
    assert document["security"] == [{"bearer": []}]


def test_the_same_services_give_the_same_bytes() -> None:
    assert dumps(merged_document()) == dumps(merged_document())


def _document(path: str, schemas: dict[str, Any], uses: str) -> dict[str, Any]:
    answer = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{uses}"}}}}
    return {
        "paths": {path: {"get": {"operationId": "list_all", "responses": {"200": answer}}}},
        "components": {"schemas": schemas},
    }


def test_names_that_mean_different_things_are_told_apart() -> None:
    shared = {"type": "string", "enum": ["a"]}
    one = {
        "Item": {"type": "object", "properties": {"a": {"type": "string"}}},
        "Page": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
        "Same": shared,
    }
    other = {**one, "Item": {"type": "object", "properties": {"b": {"$ref": "#/components/schemas/Same"}}}}
    merged = merge(
        {
            "models": _document("/api/v1/models", one, "Page"),
            "knowledge_base": _document("/api/v1/documents", other, "Page"),
        }
    )
    schemas = merged["components"]["schemas"]
    assert set(schemas) == {"ModelsItem", "ModelsPage", "KnowledgeBaseItem", "KnowledgeBasePage", "Same"}
    assert schemas["KnowledgeBasePage"]["items"] == {"$ref": "#/components/schemas/KnowledgeBaseItem"}
    assert merged["paths"]["/api/v1/models"]["get"]["operationId"] == "models_list_all"


async def test_a_service_that_is_away_does_not_hide_the_others() -> None:
    async def away(*_: object) -> None:
        raise ConnectionError

    auth = create_app(SERVICES[0])
    documentation = Documentation({"auth": auth, "models": away, "agents": Echo()})
    rendered = await documentation.rendered()
    assert b"/api/v1/auth/login" in rendered.openapi
    assert b"/api/v1/auth/login" in rendered.page
    assert await documentation.rendered() is rendered  # and it is not asked again at once


def test_the_page_loads_nothing_and_shows_everything(document: dict[str, Any]) -> None:
    page = render_reference(document)
    assert not re.search(r"<script|<link|<img|<iframe|src=|@import|url\(|javascript:", page)
    assert not re.findall(r'href="(?!#|/api/v1/openapi\.json)', page)
    for path in document["paths"]:
        assert path in page


def test_text_from_descriptions_is_only_text() -> None:
    hostile = _document("/api/v1/models", {"Item": {"type": "string"}}, "Item")
    hostile["paths"]["/api/v1/models"]["get"]["description"] = "<script>alert(1)</script>"
    assert "<script>" not in render_reference(merge({"models": hostile}))


def test_schemas_that_hold_themselves_come_to_an_end() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}
    page = render_reference(merge({"models": _document("/api/v1/models", {"Node": node}, "Node")}))
    assert "next?: Node" in page
