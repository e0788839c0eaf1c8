"""Reading the inbox: what is listed, found, counted and marked as read."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.inbox.module import SERVICE
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from tests.inbox.conftest import Desk
from tests.support.platform import Account, Platform


async def test_an_item_says_what_is_asked_and_where(desk: Desk, ada: Account) -> None:
    workflow_id = new_id()
    execution_id = await desk.ledger.execution(name="Letters", workflow_id=workflow_id, status="waiting")
    request = {"tool": "mail", "agent": "Clerk", "arguments": {"to": "ann"}, "parameters": {}}
    item_id = await desk.item(
        "tool_approval", request, execution_id=execution_id, title="Clerk wants mail", assignee_user_id=ada.user_id
    )
    (item,) = await desk.items()
    assert item == await desk.get(f"/{item_id}")
    assert UUID(item["id"]) == item_id
    assert item["execution"] == {
        "id": str(execution_id),
        "name": "Letters",
        "workflow_id": str(workflow_id),
        "status": "waiting",
    }
    expected: dict[str, Any] = {
        "kind": "tool_approval",
        "title": "Clerk wants mail",
        "request": request,
        "actions": ["accept", "edit", "ignore", "respond"],
        "status": "open",
        "node": "ask",
        "path": "",
        "agent": "Clerk",
        "assignee": {"user_id": str(ada.user_id), "role": None},
        "answer": None,
        "read": False,
    }
    assert expected.items() <= item.items()
    assert len(item["shown_hash"]) == 64


async def test_timers_and_children_are_nobodys_business(desk: Desk) -> None:
    for kind in ("timer", "child"):
        wait_id = await desk.item(kind)
        for path in ("", "/mark-read", "/mark-unread", "/respond"):
            body = {"action": "accept"} if path == "/respond" else None
            method = "POST" if path else "GET"
            answer = await desk.http.request(method, f"/api/v1/inbox/{wait_id}{path}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "inbox_item_not_found")
    assert await desk.items(status=["open", "answered"]) == []
    assert (await desk.get("/counts"))["open"] == 0


async def test_filters_narrow(desk: Desk, platform: Platform, ada: Account) -> None:
    editor = await platform.join(ada, "editor")
    workflow_id = new_id()
    execution_id = await desk.ledger.execution(name="Tax report", workflow_id=workflow_id, status="waiting")
    old = await desk.item("question", created_at=utcnow() - timedelta(days=2), assignee_role="viewer")
    taxes = await desk.item(execution_id=execution_id, title="File 100% of it?", assignee_user_id=editor.user_id)
    closed = await desk.item(status="closed", settled_at=utcnow())
    hers = await desk.item(assignee_user_id=editor.user_id, escalated_at=utcnow(), escalate_user_id=ada.user_id)

    assert await desk.ids() == [hers, taxes, old]
    assert await desk.ids(status="closed") == [closed]
    assert await desk.ids(status=["open", "closed"]) == [hers, closed, taxes, old]
    assert await desk.ids(kind="question") == [old]
    assert await desk.ids(execution=execution_id) == [taxes]
    assert await desk.ids(workflow=workflow_id) == [taxes]
    assert await desk.ids(q="tax REP") == [taxes]
    assert await desk.ids(q="100%") == [taxes]
    assert await desk.ids(q="100_") == []
    assert await desk.ids(**{"from": (utcnow() - timedelta(days=1)).isoformat()}) == [hers, taxes]
    assert await desk.ids(to=(utcnow() - timedelta(days=1)).isoformat()) == [old]
    assert await desk.ids(assigned_to="me") == [hers, old]
    assert await desk.ids(assigned_to="anyone") == [hers, taxes, old]
    await desk.post(f"/{taxes}/mark-read")
    assert await desk.ids(unread=True) == [hers, old]
    assert await desk.ids(unread=False) == [taxes]


@pytest.mark.parametrize(
    "params",
    [
        {"status": "settled"},
        {"kind": "timer"},
        {"assigned_to": "bob"},
        {"cursor": "x"},
        {"cursor": "x", "sort": "due_at"},
        {"sort": "title"},
        {"q": "\x00"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    ],
    ids=["status", "kind", "assigned_to", "cursor", "due_cursor", "sort", "q", "range"],
)
async def test_nonsense_is_refused(desk: Desk, params: dict[str, str]) -> None:
    assert (await desk.http.get("/api/v1/inbox", params=params)).status_code == 422


@pytest.mark.parametrize("sort", ["-created_at", "created_at", "due_at"])
async def test_pages_hold_everything_once(desk: Desk, sort: str) -> None:
    soon = utcnow() + timedelta(hours=1)
    dues = [None, soon, soon + timedelta(hours=1), soon, None]
    ids = [await desk.item(due_at=due) for due in dues]
    expected = {
        "-created_at": ids[::-1],
        "created_at": ids,
        "due_at": [ids[1], ids[3], ids[2], ids[0], ids[4]],
    }
    got: list[UUID] = []
    cursor: str | None = None
    while True:
        params = {"sort": sort, "limit": "2", **({"cursor": cursor} if cursor else {})}
        answer = (await desk.http.get("/api/v1/inbox", params=params)).json()
        got += [UUID(item["id"]) for item in answer["items"]]
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    assert got == expected[sort]


async def test_everyone_reads_for_himself(desk: Desk, platform: Platform, ada: Account) -> None:
    viewer = await platform.join(ada, "viewer")
    first, second = await desk.item(assignee_role="editor"), await desk.item()
    assert await desk.get("/counts") == {"open": 2, "unread": 2, "mine": 1}
    assert await desk.get("/counts", viewer) == {"open": 2, "unread": 2, "mine": 0}

    assert (await desk.post(f"/{first}/mark-read")).json()["read"] is True
    assert (await desk.post(f"/{first}/mark-read")).json()["read"] is True
    assert (await desk.get("/counts"))["unread"] == 1
    assert (await desk.get("/counts", viewer))["unread"] == 2

    answer = await desk.post("/mark-read", {"ids": [str(first), str(second), str(new_id())]}, viewer)
    assert answer.json() == {"open": 2, "unread": 0, "mine": 0}
    assert (await desk.post(f"/{second}/mark-unread", by=viewer)).json()["read"] is False
    assert (await desk.get("/counts", viewer))["unread"] == 1
    assert (await desk.get(f"/{first}"))["read"] is True


async def test_another_tenants_items_are_not_there(desk: Desk, platform: Platform, bob: Account) -> None:
    item_id = await desk.item()
    other = await platform.client(SERVICE, bob)
    for method, path, body in (
        ("GET", "", None),
        ("POST", "/mark-read", None),
        ("POST", "/mark-unread", None),
        ("POST", "/respond", {"action": "accept"}),
    ):
        answer = await other.request(method, f"/api/v1/inbox/{item_id}{path}", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "inbox_item_not_found")
    assert (await other.get("/api/v1/inbox")).json()["items"] == []
    assert (await other.get("/api/v1/inbox/counts")).json() == {"open": 0, "unread": 0, "mine": 0}
    await other.post("/api/v1/inbox/mark-read", json={"ids": [str(item_id)]})
    settled = await other.post("/api/v1/inbox/respond", json={"ids": [str(item_id)], "action": "accept"})
    assert settled.json()["settled"] == 0
    assert settled.json()["items"][0]["error"]["code"] == "inbox_item_not_found"
    assert (await desk.get(f"/{item_id}"))["status"] == "open"
    assert (await desk.get("/counts"))["unread"] == 1
