"""Workflows that start others, run by a real worker."""

import pytest

from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client
from tests.support.running import ada, asked, graph, product, provider, provider_process, refused, task

__all__ = ["ada", "product", "provider", "provider_process"]
pytestmark = pytest.mark.e2e


async def family(client: Client) -> tuple[str, str]:
    """A workflow that plans, starts another that drafts, and reviews what that gave; and the other."""
    agent = await client.agent("Writer", goal="Write about {{ inputs.topic }}")
    child = await client.workflow(
        graph([task("draft", agent, "Draft {{ inputs.topic }}")], [], "topic", text="nodes.draft.output.text"), "Child"
    )
    sub = {
        "id": "sub",
        "type": "sub_workflow",
        "config": {"workflow_id": child, "inputs": {"topic": "nodes.plan.output.text"}},
    }
    nodes = [task("plan", agent, "Plan {{ inputs.topic }}"), sub, task("end", agent, "End {{ nodes.sub.output.text }}")]
    edges = [("plan", "sub"), ("sub", "end")]
    return await client.workflow(graph(nodes, edges, "topic", text="nodes.end.output.text"), "Parent"), child


async def test_a_child_runs_and_its_parent_goes_on(ada: Client, provider: FakeModelServer) -> None:
    provider.script(
        {"last": "Plan", "answer": "The plan."}, {"last": "Draft", "answer": "The draft."}, {"answer": "End."}
    )
    parent, child = await family(ada)

    done = await ada.finished(await ada.execute(parent, {"topic": "tides"}))

    assert (done["status"], done["output"]) == ("succeeded", {"text": "End."})
    (below,) = done["children"]
    assert (below["node"], below["path"], below["status"]) == ("sub", "", "succeeded")
    shown = await ada.get(f"/executions/{below['id']}")
    assert (shown["parent_id"], shown["root_id"], shown["depth"]) == (done["id"], done["id"], 1)
    assert (shown["workflow_id"], shown["inputs"], shown["output"]) == (
        child,
        {"topic": "The plan."},
        {"text": "The draft."},
    )
    assert "Write about The plan." in str(provider.journal()[1]["body"]["messages"])
    assert [each["id"] for each in (await ada.get("/executions"))["items"]] == [done["id"]]
    listed = await ada.get("/executions", parent=done["id"])
    assert [each["id"] for each in listed["items"]] == [below["id"]]
    assert len((await ada.get("/executions", top_level="false"))["items"]) == 2
    summary = await ada.get("/analytics/summary")
    assert summary["executions"]["total"] == 1
    assert summary["calls"] == 3

    replay = await ada.finished((await ada.post(f"/executions/{done['id']}/replay"))["id"])
    assert replay["output"]["same"], replay["output"]
    assert len(asked(provider)) == 3


async def test_a_retry_starts_a_failed_child_once_more(ada: Client, provider: FakeModelServer) -> None:
    fault = {"kind": "error", "status": 400, "message": "no"}
    provider.script({"last": "Draft", "fault": fault}, {"answer": "Words."})
    parent, _ = await family(ada)
    failed = await ada.finished(await ada.execute(parent, {"topic": "tides"}))
    assert failed["error"]["code"] == "child_failed"
    provider.script({"answer": "Words."})
    before = len(asked(provider))

    retried = await ada.finished((await ada.post(f"/executions/{failed['id']}/retry"))["id"])

    assert retried["status"] == "succeeded", retried["error"]
    assert len(asked(provider)) == before + 2
    assert retried["children"][0]["id"] != failed["children"][0]["id"]
    for execution in (failed, retried):
        replay = await ada.finished((await ada.post(f"/executions/{execution['id']}/replay"))["id"])
        assert replay["output"]["same"], replay["output"]
    assert await refused(ada, f"/executions/{retried['id']}/retry") == (409, "nothing_to_retry")
