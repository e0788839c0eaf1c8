"""Every route there is, against strangers, other tenants and the lowest role. A new route is covered by being there."""

from typing import Any

import httpx
import pytest

from tests.e2e.routes import PUBLIC, STREAMS, Belongings, Operation, belongings, operations, with_bodies
from tests.support.product import Client, Product

pytestmark = pytest.mark.e2e

# What a viewer may change: what is his own.
OWN_AFFAIRS = {
    "PUT /api/v1/users/me",
    "POST /api/v1/tenants",
    "POST /api/v1/tenants/{tenant_id}/switch",
    "POST /api/v1/api-keys",
    "DELETE /api/v1/api-keys/{key_id}",
    "POST /api/v1/inbox/mark-read",
    "POST /api/v1/inbox/{item_id}/mark-read",
    "POST /api/v1/inbox/{item_id}/mark-unread",
    # These only look.
    "POST /api/v1/knowledge-bases/query",
    "POST /api/v1/knowledge-bases/{knowledge_base_id}/chunk-preview",
    "POST /api/v1/workflows/{workflow_id}/validate",
    "POST /api/v1/triggers/preview",
}
# Ids in a body, of another tenant: not there either.
FOREIGN_IDS = {
    "POST /api/v1/agents",
    "POST /api/v1/knowledge-bases/query",
    "POST /api/v1/evaluation-sets",
    "POST /api/v1/workflows/import",
    "POST /api/v1/executions",
    "POST /api/v1/webhook-endpoints",
}


async def _document(product: Product) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=product.url, timeout=60) as anyone:
        answer = await anyone.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    return answer.json()


@pytest.fixture(scope="module")
async def document(mortal: Product) -> dict[str, Any]:
    return await _document(mortal)


@pytest.fixture(scope="module")
async def ada(mortal: Product) -> Client:
    return await mortal.sign_up("Ada")


@pytest.fixture(scope="module")
async def hers(mortal: Product, ada: Client) -> Belongings:
    return await belongings(mortal, ada)


async def _counts(client: Client) -> dict[str, int]:
    lists = ("/models", "/agents", "/knowledge-bases", "/workflows", "/executions", "/api-keys", "/webhook-endpoints")
    return {path: len((await client.get(path, limit=200))["items"]) for path in lists}


def _send(http: httpx.AsyncClient, operation: Operation, things: Belongings) -> Any:
    return http.request(operation.method, things.path_of(operation), **things.body_of(operation))


async def test_every_body_is_known_here(document: dict[str, Any], hers: Belongings) -> None:
    unknown = [o.name for o in operations(document) if o.name in with_bodies(document) and not hers.body_of(o)]
    assert set(unknown) <= {"POST /api/v1/auth/refresh-token"}, "add a body to tests/e2e/routes.py"
    assert len(operations(document)) > 50


async def test_without_credentials_every_route_is_401_and_does_nothing(
    mortal: Product, document: dict[str, Any], ada: Client, hers: Belongings
) -> None:
    before = await _counts(ada)
    async with httpx.AsyncClient(base_url=mortal.url) as stranger:
        for operation in operations(document):
            if operation.name not in PUBLIC:
                answer = await _send(stranger, operation, hers)
                assert answer.status_code == 401, operation.name
                assert answer.json()["error"]["code"] == "not_authenticated", operation.name
    assert await _counts(ada) == before


async def test_another_tenants_things_are_as_if_they_were_not_there(
    mortal: Product, document: dict[str, Any], ada: Client, hers: Belongings
) -> None:
    bob = await mortal.sign_up("Bob")
    before = await _counts(ada)
    tried = 0
    for operation in operations(document):
        if "{" in operation.path and operation.name not in PUBLIC:
            answer = await _send(bob.http, operation, hers)
            assert answer.status_code == 404, f"{operation.name}: {answer.status_code} {answer.text}"
            tried += 1
        elif operation.name in FOREIGN_IDS:
            answer = await _send(bob.http, operation, hers)
            assert answer.status_code in (404, 422), f"{operation.name}: {answer.status_code} {answer.text}"
            assert hers.ids["tenant_id"] not in answer.text
            tried += 1
    assert tried > 30
    assert await _counts(ada) == before
    for path in (
        "/models",
        "/agents",
        "/knowledge-bases",
        "/workflows",
        "/executions",
        "/api-keys",
        "/webhook-endpoints",
    ):
        listed = (await bob.get(path, limit=200))["items"]
        assert not {item["id"] for item in listed} & set(hers.ids.values()), path
    assert (await bob.get("/analytics/summary"))["executions"]["total"] == 0


async def test_a_viewer_sees_but_changes_nothing(
    mortal: Product, document: dict[str, Any], ada: Client, hers: Belongings
) -> None:
    email = f"viewer-{hers.ids['user_id']}@example.com"
    member = {"email": email, "role": "viewer", "display_name": "Vera", "password": "a long password"}
    await ada.post(f"/tenants/{hers.ids['tenant_id']}/members", member)
    async with httpx.AsyncClient(base_url=mortal.url) as http:
        login = await http.post("/api/v1/auth/login", json={"email": email, "password": "a long password"})
        http.headers["Authorization"] = f"Bearer {login.json()['access_token']}"
        http.cookies.clear()
        before = await _counts(ada)
        for operation in operations(document):
            if operation.name in PUBLIC or operation.name in OWN_AFFAIRS or operation.path.endswith(STREAMS):
                continue
            answer = await _send(http, operation, hers)
            allowed = operation.method == "GET"
            own = operation.path == "/api/v1/api-keys/{key_id}"
            assert (answer.status_code < 300) if allowed else (answer.status_code == (404 if own else 403)), (
                f"{operation.name}: {answer.status_code} {answer.text}"
            )
        assert await _counts(ada) == before


@pytest.mark.parametrize("claim", ["tenant_id", "owner_id", "created_by", "role"])
async def test_nobody_says_in_a_body_whose_something_is(
    mortal: Product, document: dict[str, Any], ada: Client, hers: Belongings, claim: str
) -> None:
    before = await _counts(ada)
    tried = 0
    for operation in operations(document):
        body = hers.body_of(operation).get("json")
        if body is not None and claim not in body:
            claimed = {**body, claim: hers.ids["tenant_id"]}
            answer = await ada.http.request(operation.method, hers.path_of(operation), json=claimed)
            assert answer.status_code == 422, f"{operation.name}: {answer.status_code} {answer.text}"
            assert claim in {detail["field"] for detail in answer.json()["error"]["details"]}, operation.name
            tried += 1
    assert tried > 15
    assert await _counts(ada) == before
