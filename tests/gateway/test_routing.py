"""The routing table against what the services say of themselves."""

import re

import pytest
from fastapi.routing import APIWebSocketRoute

from gateway.embedded import SERVICES
from gateway.routing import SERVICES as ROUTED
from gateway.routing import Traffic, find_route
from shared.web.app import PREFIX, Service, create_app


def operations(service: Service) -> list[tuple[str, str]]:
    paths = create_app(service).openapi()["paths"]
    routes = [route for router in service.routers for route in router.routes]
    sockets = [route.path for route in routes if isinstance(route, APIWebSocketRoute)]
    return [(method.upper(), path) for path, item in paths.items() for method in item] + [
        ("WEBSOCKET", f"{PREFIX}{path}") for path in sockets
    ]


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_operation_is_routed_to_its_service(service: Service) -> None:
    for method, template in operations(service):
        path = re.sub(r"\{[^}]+\}", "0190a3f4-0000-7000-8000-000000000000", template)
        route = find_route(method, path)
        assert route is not None, (method, path)
        assert route.service == service.name, (method, path)
        public = any(re.fullmatch(pattern, path) for pattern in service.public)
        assert route.public == public, (method, path)


def test_the_websocket_is_among_what_is_compared() -> None:
    listed = [operation for service in SERVICES for operation in operations(service)]
    assert ("WEBSOCKET", "/api/v1/executions/{execution_id}/ws") in listed


def test_every_routed_service_is_part_of_the_one_process() -> None:
    assert set(ROUTED) == {service.name for service in SERVICES}


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("GET", "/api/v1/executions", "execution_monitoring"),
        ("HEAD", "/api/v1/executions/x", "execution_monitoring"),
        ("GET", "/api/v1/executions/x/events", "execution_monitoring"),
        ("WEBSOCKET", "/api/v1/executions/x/ws", "execution_monitoring"),
        ("POST", "/api/v1/executions", "orchestration"),
        ("POST", "/api/v1/executions/x/cancel", "orchestration"),
        ("GET", "/api/v1/workflows/x/executions", "execution_monitoring"),
        ("POST", "/api/v1/workflows/x/execute", "workflows"),
        ("GET", "/api/v1/workflows/x/executions/y", "workflows"),
        ("GET", "/.well-known/jwks.json", "auth"),
        ("DELETE", "/api/v1/documents/x", "knowledge_base"),
    ],
)
def test_paths_that_services_share(method: str, path: str, service: str) -> None:
    route = find_route(method, path)
    assert route is not None
    assert route.service == service


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "",
        "//api/v1/models",
        "/api/v1",
        "/api/v1/",
        "/api/v2/models",
        "/api/v1/modelsx",
        "/API/v1/models",
        "/x/api/v1/models",
        "/.well-known/jwks.json/x",
        "/metrics",
    ],
)
def test_what_is_no_path_of_ours(path: str) -> None:
    assert find_route("GET", path) is None


@pytest.mark.parametrize(
    "path", ["/api/v1/auth/login/", "/api/v1/auth/login\n", "/api/v1/auth/login/x", "/api/v1/auth/Login"]
)
def test_a_path_that_only_resembles_a_public_one_is_not_public(path: str) -> None:
    route = find_route("POST", path)
    assert route is None or not route.public


def test_what_is_limited_alike() -> None:
    expected = {
        ("POST", "/api/v1/auth/login"): Traffic.CREDENTIALS,
        ("POST", "/api/v1/knowledge-bases/x/documents"): Traffic.UPLOAD,
        ("GET", "/api/v1/knowledge-bases/x/documents"): Traffic.ORDINARY,
        ("POST", "/api/v1/workflows/import"): Traffic.CONTENT,
    }
    for (method, path), traffic in expected.items():
        route = find_route(method, path)
        assert route is not None
        assert route.traffic is traffic
