"""What is told of node types is enough to fill in their configs."""

from typing import Any
from uuid import UUID

import pytest

from services.orchestration.engine.steps.registry import STEPS
from shared.kit.json import JsonObject
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.inputs import check_inputs, check_schema
from shared.workflow.node_types import node_types
from shared.workflow.states import CallKind, Effect, WaitKind

BY_NAME = {each.type: each for each in node_types()}
ID = str(UUID(int=1))
BODY = {"nodes": [{"id": "inner", "type": "transform", "config": {"expression": "item"}}]}
LEAST: dict[str, JsonObject] = {
    "agent_task": {"agent_id": ID, "description": "d", "expected_output": "e"},
    "crew": {
        "agent_ids": [ID],
        "tasks": [{"name": "t", "description": "d", "expected_output": "e", "agent_id": ID}],
    },
    "knowledge_search": {"knowledge_base_ids": [ID], "query": "q"},
    "tool": {"tool": "look"},
    "http": {"url": "https://x.invalid/", "method": "POST", "json": "inputs"},
    "code": {"source": "def main(inputs):\n    return inputs"},
    "condition": {"cases": [{"name": "yes", "when": "true"}]},
    "transform": {"expression": "1"},
    "output": {"values": {"a": "1"}},
    "map": {"items": "[1]", "body": BODY},
    "loop": {"until": "true", "body": BODY},
    "approval": {"title": "Go on?"},
    "question": {"question": "How many?"},
    "delay": {"for": "60"},
    "sub_workflow": {"workflow_id": ID},
}


def test_every_type_is_told_once_and_described() -> None:
    assert [each.type for each in node_types()] == list(NODE_CONFIGS)
    assert set(BY_NAME) == set(STEPS)
    assert len({each.title for each in node_types()}) == len(NODE_CONFIGS)
    assert all(each.description and "description" not in each.config_schema for each in node_types())


@pytest.mark.parametrize("name", list(LEAST))
def test_a_config_that_fits_its_schema_is_taken(name: str) -> None:
    told = BY_NAME[name]
    assert list(check_schema(told.config_schema)) == []
    assert check_inputs(told.config_schema, LEAST[name]) == []
    NODE_CONFIGS[name].model_validate(LEAST[name])
    # Fields that there are not are refused by both.
    assert check_inputs(told.config_schema, {**LEAST[name], "colour": "red"}) != []


def test_a_schema_says_how_texts_are_read_and_whose_ids_are_meant() -> None:
    def field(name: str, *path: str) -> Any:
        found: Any = BY_NAME[name].config_schema["properties"]
        for each in path:
            found = found[each]
        return found

    assert field("agent_task", "agent_id", "x-refers-to") == "agent"
    assert field("agent_task", "description", "x-syntax") == "template"
    assert field("map", "items", "x-syntax") == "cel"
    assert field("loop", "until", "x-syntax") == "cel"
    assert field("code", "source", "x-syntax") == "python"
    assert field("tool", "tool", "x-refers-to") == "tool"
    assert field("sub_workflow", "workflow_id", "x-refers-to") == "workflow"
    assert {"for", "for_ms", "until"} == set(BY_NAME["delay"].config_schema["properties"])


def test_ways_calls_and_waits() -> None:
    assert BY_NAME["approval"].ports == ("approved", "rejected")
    assert BY_NAME["condition"].ports_from == ("cases.*.name", "default")
    assert BY_NAME["http"].effect is None
    assert BY_NAME["code"].effect is Effect.READ
    assert BY_NAME["agent_task"].calls == (CallKind.LLM, CallKind.TOOL)
    assert BY_NAME["tool"].waits == (WaitKind.TOOL_APPROVAL, WaitKind.CALL_IN_DOUBT, WaitKind.BUDGET)
    assert BY_NAME["code"].waits == (WaitKind.BUDGET,)
    assert BY_NAME["delay"].waits == (WaitKind.TIMER,)
    assert BY_NAME["transform"].waits == ()
    assert {each.type for each in node_types() if each.has_body} == {"map", "loop"}
    assert {each.type for each in node_types() if not each.may_retry} == {"map", "loop"}


@pytest.mark.parametrize("name", list(LEAST))
def test_the_ports_told_are_those_of_a_node(name: str) -> None:
    config = NODE_CONFIGS[name].model_validate(LEAST[name])
    if not BY_NAME[name].ports_from:
        assert config.ports == BY_NAME[name].ports
