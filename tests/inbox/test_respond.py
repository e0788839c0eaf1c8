"""Answering: who may, what counts, and that an item is settled once."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import httpx
import pytest

from services.inbox.module import SERVICE
from shared.executions.events import LOOK_CHANNEL
from shared.kit.clock import utcnow
from shared.kit.ids import new_id
from shared.tasks.doorbell import WAKE_QUEUE
from tests.executions.support import LedgerView, owner_connection
from tests.inbox.conftest import Desk
from tests.support.platform import Account, Platform

CALL = {
    "tool": "mail",
    "agent": "Clerk",
    "arguments": {"to": "ann"},
    "parameters": {"type": "object", "properties": {"to": {"type": "string"}}, "required": ["to"]},
}


@pytest.fixture
async def view(platform: Platform) -> AsyncGenerator[LedgerView]:
    connection = await owner_connection(platform)
    yield LedgerView(connection)
    await connection.close()


def _code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def _details(answer: httpx.Response) -> dict[str, str]:
    return {detail["field"]: detail["message"] for detail in answer.json()["error"]["details"]}


async def _execution_of(desk: Desk, item_id: UUID) -> UUID:
    return UUID((await desk.get(f"/{item_id}"))["execution"]["id"])


async def test_an_answer_settles_the_item_and_wakes_its_execution(
    desk: Desk, ada: Account, platform: Platform, view: LedgerView
) -> None:
    item_id = await desk.item("tool_approval", CALL)
    shown = (await desk.get(f"/{item_id}"))["shown_hash"]
    await platform.resources.redis.delete(WAKE_QUEUE)

    answer = await desk.respond(item_id, "edit", {"to": "bob"}, shown_hash=shown)

    item = answer.json()
    assert answer.status_code == 200, answer.text
    assert (item["status"], item["read"]) == ("answered", True)
    at = item["settled_at"]
    assert item["answer"] == {"action": "edit", "value": {"to": "bob"}, "by": str(ada.user_id), "at": at}
    assert item == await desk.get(f"/{item_id}")
    assert item["execution"]["status"] == "queued"
    execution = await view.execution(await _execution_of(desk, item_id))
    assert execution["wakes"] == 1
    assert await desk.items() == []
    await platform.resources.doorbell.close()
    assert await platform.resources.redis.llen(WAKE_QUEUE) > 0


async def test_an_execution_that_runs_is_told_to_look(desk: Desk, platform: Platform, view: LedgerView) -> None:
    execution_id = await desk.ledger.execution(status="running")
    item_id = await desk.item("question", {"question": "?"}, execution_id=execution_id)
    async with platform.resources.redis.pubsub() as listening:
        await listening.subscribe(LOOK_CHANNEL)
        await listening.get_message(timeout=5)
        assert (await desk.respond(item_id, "respond", "so")).status_code == 200
        message = await listening.get_message(ignore_subscribe_messages=True, timeout=5)
    assert message is not None
    assert message["data"].decode() == str(execution_id)
    execution = await view.execution(execution_id)
    assert (execution["status"], execution["wakes"]) == ("running", 1)


async def test_of_a_hundred_answers_one_counts(desk: Desk, ada: Account, platform: Platform, view: LedgerView) -> None:
    editor = await platform.join(ada, "editor")
    item_id = await desk.item("question", {"question": "Which number?"})

    async def give(number: int) -> httpx.Response:
        return await desk.respond(item_id, "respond", number, by=(ada, editor)[number % 2])

    answers = await asyncio.gather(*map(give, range(100)))

    won = [number for number, answer in enumerate(answers) if answer.status_code == 200]
    assert len(won) == 1
    by = (ada, editor)[won[0] % 2]
    for answer in answers:
        if answer.status_code != 200:
            assert _code(answer) == (409, "inbox_item_settled")
            known = _details(answer)
            assert (known["status"], known["action"], known["by"]) == ("answered", "respond", str(by.user_id))
            assert "at" in known
    assert (await desk.get(f"/{item_id}"))["answer"]["value"] == won[0]
    execution = await view.execution(await _execution_of(desk, item_id))
    assert (execution["wakes"], execution["status"]) == (1, "queued")
    events = await view.events(execution["id"])
    assert [event["data"]["status"] for event in events if event["type"] == "execution.status"] == ["queued"]


async def test_an_answer_holds_only_for_what_was_shown(desk: Desk) -> None:
    item_id = await desk.item("tool_approval", CALL)
    refused = await desk.respond(item_id, "accept", shown_hash="0" * 64)
    assert _code(refused) == (409, "shown_hash_mismatch")
    assert (await desk.get(f"/{item_id}"))["status"] == "open"


REFUSED: list[tuple[str, Any, str]] = [
    ("edit", {"to": 7}, "payload_invalid"),
    ("edit", None, "payload_invalid"),
    ("respond", {"sent": True}, "payload_invalid"),
    ("respond", "a\x00b", "invalid"),
    ("respond", "x" * 300_000, "invalid"),
    ("approve", None, "invalid"),
]


@pytest.mark.parametrize(("action", "payload", "code"), REFUSED, ids=[f"{row[0]}-{n}" for n, row in enumerate(REFUSED)])
async def test_what_does_not_fit_leaves_the_item_open(
    desk: Desk, view: LedgerView, action: str, payload: Any, code: str
) -> None:
    item_id = await desk.item("tool_approval", CALL)
    refused = await desk.respond(item_id, action, payload)
    assert _code(refused) == (422, code)
    item = await desk.get(f"/{item_id}")
    assert (item["status"], item["answer"], item["read"]) == ("open", None, False)
    assert (await view.execution(UUID(item["execution"]["id"])))["wakes"] == 0


async def test_an_action_that_is_not_offered_is_refused(desk: Desk) -> None:
    item_id = await desk.item("approval", {"payload": 1, "editable": False})
    refused = await desk.respond(item_id, "edit", 2)
    assert _code(refused) == (422, "action_not_offered")
    assert "accept, ignore, respond" in refused.json()["error"]["message"]


async def test_viewers_only_look(desk: Desk, platform: Platform, ada: Account) -> None:
    viewer = await platform.join(ada, "viewer")
    item_id = await desk.item(assignee_user_id=viewer.user_id)
    assert _code(await desk.respond(item_id, "accept", by=viewer)) == (403, "not_allowed")
    bulk = await desk.post("/respond", {"ids": [str(item_id)], "action": "accept"}, viewer)
    assert _code(bulk) == (403, "not_allowed")
    assert (await desk.get(f"/{item_id}"))["status"] == "open"


async def test_an_item_is_for_whom_it_is_assigned_to(desk: Desk, platform: Platform, ada: Account) -> None:
    editor, other, admin = [await platform.join(ada, role) for role in ("editor", "editor", "admin")]

    item_id = await desk.item(assignee_user_id=editor.user_id)
    refused = await desk.respond(item_id, "accept", by=other)
    assert _code(refused) == (403, "not_assigned")
    assert "Editor" in refused.json()["error"]["message"]
    assert (await desk.respond(item_id, "accept", by=editor)).status_code == 200

    item_id = await desk.item(assignee_user_id=editor.user_id)
    assert (await desk.respond(item_id, "accept", by=admin)).status_code == 200

    item_id = await desk.item(assignee_role="admin")
    refused = await desk.respond(item_id, "accept", by=other)
    assert _code(refused) == (403, "not_assigned")
    assert "admin" in refused.json()["error"]["message"]
    assert (await desk.respond(item_id, "accept", by=ada)).status_code == 200

    item_id = await desk.item(assignee_role="owner")
    assert _code(await desk.respond(item_id, "accept", by=admin)) == (403, "not_assigned")

    item_id = await desk.item(assignee_role="manager")
    assert _code(await desk.respond(item_id, "accept", by=other)) == (403, "not_assigned")
    assert (await desk.respond(item_id, "accept", by=admin)).status_code == 200

    escalated = {"escalated_at": utcnow(), "escalate_user_id": other.user_id}
    item_id = await desk.item(assignee_user_id=editor.user_id, **escalated)
    assert _code(await desk.respond(item_id, "accept", by=editor)) == (403, "not_assigned")
    assert (await desk.respond(item_id, "accept", by=other)).status_code == 200


@pytest.mark.parametrize("status", ["expired", "closed"])
async def test_what_is_settled_otherwise_takes_no_answer(desk: Desk, status: str) -> None:
    item_id = await desk.item(status=status, settled_at=utcnow())
    refused = await desk.respond(item_id, "accept")
    assert _code(refused) == (409, "inbox_item_settled")
    assert _details(refused)["status"] == status


async def test_many_are_answered_at_once_each_by_itself(
    desk: Desk, platform: Platform, ada: Account, bob: Account
) -> None:
    editor = await platform.join(ada, "editor")
    theirs = Desk(desk.ledger.__class__(platform.resources, bob.tenant_id), await platform.client(SERVICE, bob))
    one, two = await desk.item(), await desk.item()
    settled = await desk.item(status="expired", settled_at=utcnow())
    question = await desk.item("question")
    elsewhere, foreign = await desk.item(assignee_role="owner"), await theirs.item()
    ids = [str(item_id) for item_id in (one, settled, question, elsewhere, foreign, new_id(), two)]

    answer = await desk.post("/respond", {"ids": ids, "action": "accept"}, editor)

    assert answer.status_code == 200, answer.text
    outcomes = answer.json()["items"]
    assert [outcome["id"] for outcome in outcomes] == ids
    codes = [outcome["error"] and outcome["error"]["code"] for outcome in outcomes]
    missing = "inbox_item_not_found"
    assert codes == [None, "inbox_item_settled", "action_not_offered", "not_assigned", missing, missing, None]
    assert [outcome["settled"] for outcome in outcomes] == [code is None for code in codes]
    assert answer.json()["settled"] == 2
    assert outcomes[0]["item"]["answer"]["by"] == str(editor.user_id)
    assert (await theirs.get(f"/{foreign}"))["status"] == "open"


async def test_many_may_be_bound_to_what_was_shown(desk: Desk) -> None:
    one, two = await desk.item(), await desk.item()
    shown = (await desk.get(f"/{one}"))["shown_hash"]
    items = [{"id": str(one), "shown_hash": shown}, {"id": str(two), "shown_hash": "0"}]
    answer = (await desk.post("/respond", {"items": items, "action": "ignore"})).json()
    assert [outcome["settled"] for outcome in answer["items"]] == [True, False]
    assert answer["items"][1]["error"]["code"] == "shown_hash_mismatch"


@pytest.mark.parametrize("wrong", ["none", "both", "twice", "too many"])
async def test_a_muddled_list_is_refused(desk: Desk, wrong: str) -> None:
    item_id = str(await desk.item())
    bodies: dict[str, dict[str, Any]] = {
        "none": {},
        "both": {"ids": [item_id], "items": [{"id": item_id}]},
        "twice": {"ids": [item_id, item_id]},
        "too many": {"ids": [str(new_id()) for _ in range(101)]},
    }
    assert _code(await desk.post("/respond", {**bodies[wrong], "action": "accept"})) == (422, "invalid")
    assert (await desk.get(f"/{item_id}"))["status"] == "open"
