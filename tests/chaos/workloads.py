"""What is run meanwhile: a workflow for each promise, made through the public API."""

from dataclasses import dataclass
from typing import Any

from tests.chaos.client import Person

INPUTS = {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]}
# A role that the scripted model has ask for a tool for ever.
CIRCLER = "Circler"
BUDGET_CALLS = 4

# A role that takes its time, so that many of its executions fill every worker.
SLOW = "Slow"
SLOW_MS = 800

# The provider's script beside its faults.
RULES: list[dict[str, Any]] = [
    {"role": SLOW, "latency_ms": SLOW_MS},
    {"role": CIRCLER, "has_tools": True, "tool_calls": [{"name": "calculator", "arguments": {"expression": "1 + 1"}}]},
]
# Long enough for a worker to die in the middle of an effect.
SYSTEM_RULES: list[dict[str, Any]] = [{"behave": "echo", "seconds": 0.2}]


@dataclass(frozen=True)
class Workloads:
    """The workflows of one person, by what they are for; `weights` say how often each is run."""

    ids: dict[str, str]
    weights: dict[str, int]


async def make_workloads(person: Person, system_url: str) -> Workloads:
    roles = ["Researcher", "Writer", "Editor"]
    agents = [await _agent(person, role) for role in roles]
    circler = await _agent(person, CIRCLER, tools=["calculator"], max_iterations=50)
    ask = agents[0]
    child = await _workflow(person, "child", [_task("answer", ask, "As a child, on {{ inputs.topic }}.")])
    graphs: dict[str, tuple[list[dict[str, Any]], list[tuple[str, str]]]] = {
        "crew": ([_crew(agents, roles)], []),
        "approval": (
            [
                _task("draft", ask, "Draft on {{ inputs.topic }}."),
                _node("ask", "approval", title="Publish {{ inputs.topic }}?", payload="nodes.draft.output.text"),
                _task("publish", ask, "Publish {{ inputs.topic }}: {{ nodes.ask.output.payload }}"),
            ],
            [("draft", "ask"), ("ask", "publish")],
        ),
        "effects": (
            [
                _node(
                    "each",
                    "map",
                    items="[1, 2, 3]",
                    parallelism=3,
                    body={"nodes": [_http("put", system_url, "idempotent", "{{ inputs.topic }}-{{ item }}")]},
                ),
                _http("pay", system_url, "once", "{{ inputs.topic }}-paid"),
            ],
            [("each", "pay")],
        ),
        "loop": (
            [
                _node(
                    "again",
                    "loop",
                    until="iteration.index == 2",
                    max_iterations=5,
                    body={"nodes": [_task("turn", ask, "Turn {{ iteration.index }} on {{ inputs.topic }}.")]},
                )
            ],
            [],
        ),
        "waiting": (
            [
                _node("pause", "delay", for_ms=1500),
                _node("below", "sub_workflow", workflow_id=child, inputs={"topic": "inputs.topic"}),
            ],
            [("pause", "below")],
        ),
        "budget": ([_task("circle", circler, "Go in circles on {{ inputs.topic }}.")], []),
    }
    ids = {name: await _workflow(person, name, nodes, edges) for name, (nodes, edges) in graphs.items()}
    weights = {"crew": 5, "approval": 3, "effects": 3, "loop": 2, "waiting": 3, "budget": 1}
    return Workloads(ids, weights)


async def make_trivial(person: Person) -> str:
    """Takes a moment of a worker's place and nothing else. Schedules start it, all with the same inputs, and a request
    to the provider must tell whose it is."""
    agent = await _agent(person, SLOW)
    told = "Take your time for {{ inputs.topic }} in {{ execution.id }}."
    return await _workflow(person, "trivial", [_task("slow", agent, told)])


async def _agent(person: Person, role: str, **more: Any) -> str:
    about = {"name": role, "role": role, "goal": f"Be a good {role}", "backstory": "Experienced."}
    return await person.made("/agents", {**about, "model_id": person.model_id, **more})


async def _workflow(
    person: Person, name: str, nodes: list[dict[str, Any]], edges: list[tuple[str, str]] | None = None
) -> str:
    lines = [{"from": source, "to": target} for source, target in edges or []]
    graph = {"spec": 1, "inputs": INPUTS, "nodes": nodes, "edges": lines, "outputs": {}}
    return await person.made("/workflows", {"name": name, "graph": graph})


def _node(id_: str, type_: str, **config: Any) -> dict[str, Any]:
    return {"id": id_, "type": type_, "name": id_, "config": config}


def _task(id_: str, agent: str, description: str) -> dict[str, Any]:
    # A provider that is down for a while is not what these drills are about.
    told = {"agent_id": agent, "description": description, "expected_output": "A short text."}
    return {**_node(id_, "agent_task", **told), "retry": {"max": 10, "backoff_ms": 500}}


def _http(id_: str, url: str, effect: str, key: str) -> dict[str, Any]:
    node = _node(id_, "http", method="POST", url=f"{url}/effects", body=key, effect=effect)
    return {**node, "retry": {"max": 5, "backoff_ms": 300}} if effect == "idempotent" else node


def _crew(agents: list[str], roles: list[str]) -> dict[str, Any]:
    tasks = [
        {
            "name": role,
            "description": f"As {role}, work on {{{{ inputs.topic }}}}.",
            "expected_output": "A short text.",
            "agent_id": agent,
        }
        for role, agent in zip(roles, agents, strict=True)
    ]
    return {**_node("crew", "crew", agent_ids=agents, tasks=tasks), "retry": {"max": 10, "backoff_ms": 500}}
