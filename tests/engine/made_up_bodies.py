"""Graphs with maps, loops and people in them, made up at random, and what must come of them.

As in `made_up`, the interpreter knows no time. What a person answers is a function of what is asked.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st

from services.orchestration.engine.ports import (
    Action,
    Answer,
    CrewPlan,
    ModelReply,
    ModelRequest,
    StepCalls,
    StepFailed,
    WaitKind,
    WaitRecord,
)
from shared.kit.json import Json, JsonObject, dumps
from tests.engine.fakes import TENANT, FakeModels, World, ask, condition, graph, scripted, task, transform

Kind = Literal["pure", "condition", "call", "question", "approval", "map", "loop"]
PORTS: dict[str, list[str]] = {"condition": ["yes", "else"], "approval": ["approved", "rejected"]}


@dataclass(frozen=True)
class Edge:
    source: int
    port: str | None
    when: bool | None


@dataclass(frozen=True)
class Node:
    """`holds` is how a choice is made. A call with `bad` fails in iterations whose number has that parity.

    A map has `times` elements, a loop stops after `times` iterations, or after `limit`.
    """

    kind: Kind
    edges: tuple[Edge, ...]
    inner: "Level" = ()
    holds: bool = True
    bad: int | None = None
    times: int = 1
    limit: int = 3
    parallelism: int = 1
    tolerant: bool = False


Level = tuple[Node, ...]


@st.composite
def levels(draw: st.DrawFn, depth: int = 2, most: int = 5, failing: bool = True) -> Level:
    nodes: list[Node] = []
    for index in range(draw(st.integers(min(2, most - 1), most))):
        sources = draw(st.sets(st.integers(0, index - 1), max_size=2)) if index else set[int]()
        edges = tuple(draw(_edge(source, nodes[source].kind)) for source in sorted(sources))
        nodes.append(draw(_node(edges, depth, failing)))
    return tuple(nodes)


def _edge(source: int, kind: Kind) -> st.SearchStrategy[Edge]:
    ports = st.sampled_from([None, *PORTS.get(kind, [])])
    return st.builds(Edge, st.just(source), ports, st.sampled_from([None, None, None, False]))


@st.composite
def _node(draw: st.DrawFn, edges: tuple[Edge, ...], depth: int, failing: bool) -> Node:
    kinds: list[Kind] = ["pure", "condition", "call", "call", "question", "approval"]
    kind: Kind = draw(st.sampled_from([*kinds, "map", "map", "loop"] if depth else kinds))
    return Node(
        kind,
        edges,
        inner=draw(levels(depth - 1, 3, failing)) if kind in ("map", "loop") else (),
        holds=draw(st.booleans()),
        bad=draw(st.sampled_from([None, None, 0, 1])) if failing else None,
        times=draw(st.integers(0 if kind == "map" else 1, 3)),
        limit=draw(st.integers(1, 3)),
        parallelism=draw(st.integers(1, 3)),
        tolerant=draw(st.booleans()),
    )


# --- as a graph of the product ------------------------------------------------------------------------------------

_WHOLE = {"map": "output.items", "question": "output.answer", "approval": "output.case", "loop": "output.output"}


def as_graph(level: Level) -> JsonObject:
    nodes, edges = _parts(level, "n", "0")
    return graph(*nodes, edges=edges, outputs={f"n{n}": _read(level, n, "n") for n in range(len(level))})


def _parts(level: Level, prefix: str, number: str) -> tuple[list[JsonObject], list[JsonObject]]:
    edges: list[JsonObject] = []
    for index, node in enumerate(level):
        for edge in node.edges:
            drawn: JsonObject = {"from": f"{prefix}{edge.source}", "to": f"{prefix}{index}"}
            optional = {"port": edge.port, "when": None if edge.when is None else dumps(edge.when)}
            edges.append({**drawn, **{name: value for name, value in optional.items() if value is not None}})
    return [_as_node(level, index, prefix, number) for index in range(len(level))], edges


def _read(level: Level, index: int, prefix: str) -> str:
    return f"nodes.{prefix}{index}.{_WHOLE.get(level[index].kind, 'output')}"


def _as_node(level: Level, index: int, prefix: str, number: str) -> JsonObject:
    node, id_ = level[index], f"{prefix}{index}"
    seen = "[" + ", ".join([number, *(_read(level, edge.source, prefix) for edge in node.edges)]) + "]"
    match node.kind:
        case "pure":
            return transform(id_, f"['{id_}', {seen}]")
        case "condition":
            return condition(id_, yes=dumps(node.holds))
        case "call":
            return task(id_, f"{{{{ {seen} }}}}")
        case "question":
            return {"id": id_, "type": "question", "config": {"question": f"{id_} {{{{ {seen} }}}}"}}
        case "approval":
            return {"id": id_, "type": "approval", "config": {"title": f"{dumps(node.holds)}"}}
        case "map":
            config = {
                "items": f"[{', '.join(str(10 + n) for n in range(node.times))}]",
                "parallelism": node.parallelism,
                "on_error": "continue" if node.tolerant else "fail",
            }
        case "loop":
            config = {"until": f"iteration.index + 1 == {node.times}", "max_iterations": node.limit}
    nodes, edges = _parts(node.inner, f"{id_}_", "item + iteration.index" if node.kind == "map" else "iteration.index")
    gives = "[" + ", ".join(_read(node.inner, n, f"{id_}_") for n in range(len(node.inner))) + "]"
    return {
        "id": id_,
        "type": node.kind,
        "config": {**config, "body": {"nodes": nodes, "edges": edges, "output": gives}},
    }


# --- what must come of it -----------------------------------------------------------------------------------------


@dataclass
class Expected:
    """Of what stands in no body that fails: statuses by node and path. `failed`: whether the whole fails."""

    statuses: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    failed: bool = False
    output: JsonObject = field(default_factory=dict[str, Any])


class _Fails(Exception):
    pass


def interpret(level: Level) -> Expected:
    expected = Expected()
    try:
        values = _interpret(level, "n", "", 0, 0, expected.statuses)
    except _Fails:
        expected.failed = True
    else:
        expected.output = {f"n{n}": value for n, value in enumerate(values)}
    return expected


def _interpret(
    level: Level, prefix: str, path: str, number: int, index: int, statuses: dict[tuple[str, str], str]
) -> list[Json]:
    """What can be read of each node. Raises `_Fails` if any node that runs fails, whichever is first in time."""
    values: list[Json] = []
    ran: list[bool] = []
    fails = False
    blocked: set[int] = set()
    for n, node in enumerate(level):
        id_ = f"{prefix}{n}"
        if any(edge.source in blocked for edge in node.edges):
            blocked.add(n)
            values.append(None)
            ran.append(False)
            continue
        runs = not node.edges or any(_taken(level, edge, ran) for edge in node.edges)
        ran.append(runs)
        value: Json = None
        if runs:
            seen = [number, *(values[edge.source] for edge in node.edges)]
            try:
                value = _value(node, id_, path, seen, index, statuses)
            except _Fails:
                fails = True
                blocked.add(n)
        values.append(value)
        statuses[id_, path] = "succeeded" if runs else "skipped"
    if fails:
        raise _Fails
    return values


def _taken(level: Level, edge: Edge, ran: list[bool]) -> bool:
    if not ran[edge.source] or edge.when is False:
        return False
    node = level[edge.source]
    return edge.port is None or edge.port == PORTS[node.kind][0 if node.holds else 1]


def _value(node: Node, id_: str, path: str, seen: list[Json], index: int, statuses: dict[tuple[str, str], str]) -> Json:
    match node.kind:
        case "pure":
            return [id_, seen]
        case "condition":
            return {"case": "yes" if node.holds else "else"}
        case "approval":
            return "approved" if node.holds else "rejected"
        case "question":
            return f"<{id_} {dumps(seen)}>"
        case "call":
            if node.bad is not None and index % 2 == node.bad:
                raise _Fails
            return {"text": f"<{id_}: {dumps(seen)}>", "data": None, "citations": []}
        case _:
            return _repeated(node, id_, path, statuses)


def _repeated(node: Node, id_: str, path: str, statuses: dict[tuple[str, str], str]) -> Json:
    gave: list[Json] = []
    times = node.times if node.kind == "map" else min(node.times, node.limit)
    fails = False
    for index in range(times):
        inside: dict[tuple[str, str], str] = {}
        inner_path = f"{path}/{id_}[{index}]" if path else f"{id_}[{index}]"
        number = 10 + index + index if node.kind == "map" else index
        try:
            gave.append(_interpret(node.inner, f"{id_}_", inner_path, number, index, inside))
            statuses.update(inside)
        except _Fails:
            if not (node.kind == "map" and node.tolerant):
                fails = True
                break
            gave.append(None)
    if fails:
        raise _Fails
    return gave if node.kind == "map" else gave[-1]


# --- the world it runs in -----------------------------------------------------------------------------------------


def answer(wait: WaitRecord) -> Answer:
    """What a person says to it."""
    if wait.kind is WaitKind.APPROVAL:
        return Answer(Action.ACCEPT if wait.title == "true" else Action.IGNORE, None, TENANT)
    asked: Any = wait.request
    return Answer(Action.RESPOND, f"<{asked['question']}>", TENANT)


def world_of(level: Level) -> tuple[World, Counter[str]]:
    """`asked` counts every question by what it asks."""
    asked: Counter[str] = Counter()
    bad = dict(_bad(level, "n"))

    async def crew(plan: CrewPlan, calls: StepCalls) -> str:
        id_, told = plan.tasks[0].name, plan.tasks[0].description
        for _ in range(len(told) % 7):
            await asyncio.sleep(0)
        reply = await calls.model(ask(f"{id_}: {told}"))
        parity = bad[id_]
        number = int(told[1:].split(",")[0].rstrip("]"))
        index = (number - 10) // 2 if number >= 10 else number
        if parity is not None and index % 2 == parity:
            raise StepFailed("bad", code="bad", retryable=False)
        return reply.text

    async def model(request: ModelRequest) -> ModelReply:
        question = request.messages[-1].content
        for _ in range(len(question) % 5):
            await asyncio.sleep(0)
        asked[question] += 1
        return ModelReply(f"<{question}>")

    return scripted(crew, models=FakeModels(model)), asked


def _bad(level: Level, prefix: str) -> list[tuple[str, int | None]]:
    found: list[tuple[str, int | None]] = []
    for index, node in enumerate(level):
        found += [(f"{prefix}{index}", node.bad), *_bad(node.inner, f"{prefix}{index}_")]
    return found
