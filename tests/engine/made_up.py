"""Graphs made up at random, and a small interpreter that says what must come of them.

The interpreter knows nothing of time: it goes through the nodes once, in an order in which all that a node depends
on comes before it. Whatever the engine does side by side, after crashes and retries, must come to the same.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from hypothesis import strategies as st

from services.orchestration.engine.ports import (
    CallFailed,
    CrewPlan,
    ModelReply,
    ModelRequest,
    StepCalls,
    StepFailed,
)
from shared.kit.json import Json, JsonObject, dumps
from tests.engine.fakes import FakeModels, World, ask, condition, graph, scripted, task, transform

Kind = Literal["pure", "condition", "call"]


@dataclass(frozen=True)
class MadeUpEdge:
    source: int
    port: str | None
    when: bool | None


@dataclass(frozen=True)
class MadeUpNode:
    """`call_failures` fail the last call so often, `own_failures` the step after its calls; `retries` are allowed.

    What fails more often than that fails for ever: a crash may cost the record of an attempt, and so allow one more.
    """

    kind: Kind
    edges: tuple[MadeUpEdge, ...]
    holds: bool = True
    calls: int = 1
    call_failures: int = 0
    own_failures: int = 0
    retries: int = 0

    @property
    def fails(self) -> bool:
        return self.kind == "call" and self.call_failures + self.own_failures > self.retries


MadeUp = tuple[MadeUpNode, ...]


@st.composite
def made_up_graphs(draw: st.DrawFn, *, failing: bool = True, most: int = 7) -> MadeUp:
    nodes: list[MadeUpNode] = []
    for index in range(draw(st.integers(1, most))):
        sources = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set[int]()
        edges = tuple(draw(_edge(source, nodes[source].kind)) for source in sorted(sources))
        nodes.append(draw(_node(edges, failing)))
    return tuple(nodes)


def _edge(source: int, kind: Kind) -> st.SearchStrategy[MadeUpEdge]:
    ports = st.sampled_from(["yes", "else", None] if kind == "condition" else [None])
    return st.builds(MadeUpEdge, st.just(source), ports, st.sampled_from([None, None, True, False]))


def _node(edges: tuple[MadeUpEdge, ...], failing: bool) -> st.SearchStrategy[MadeUpNode]:
    call = st.builds(
        MadeUpNode,
        st.just("call"),
        st.just(edges),
        calls=st.integers(0, 3),
        call_failures=st.integers(0, 2 if failing else 0),
        own_failures=st.integers(0, 1 if failing else 0),
        retries=st.integers(0, 3),
    ).filter(lambda node: node.calls > 0 or node.call_failures == 0)
    pure = st.builds(MadeUpNode, st.just("pure"), st.just(edges))
    choice = st.builds(MadeUpNode, st.just("condition"), st.just(edges), holds=st.booleans())
    return st.one_of(call, call, pure, choice)


# --- as a graph of the product ------------------------------------------------------------------------------------


def as_graph(nodes: MadeUp) -> JsonObject:
    edges: list[JsonObject] = []
    for index, node in enumerate(nodes):
        for edge in node.edges:
            drawn: JsonObject = {"from": f"n{edge.source}", "to": f"n{index}"}
            if edge.port is not None:
                drawn["port"] = edge.port
            if edge.when is not None:
                drawn["when"] = f"nodes.n{edge.source}.output != null && {dumps(edge.when)}"
            edges.append(drawn)
    return graph(
        *[_as_node(f"n{index}", node) for index, node in enumerate(nodes)],
        edges=edges,
        outputs={f"n{index}": f"nodes.n{index}.output" for index in range(len(nodes))},
    )


def _as_node(id_: str, node: MadeUpNode) -> JsonObject:
    seen = "[" + ", ".join(f"nodes.n{edge.source}.output" for edge in node.edges) + "]"
    match node.kind:
        case "pure":
            return transform(id_, f"['{id_}', {seen}]")
        case "condition":
            return condition(id_, yes=dumps(node.holds))
        case "call":
            return task(id_, f"{{{{ {seen} }}}}", retry={"max": node.retries, "backoff_ms": 0})


# --- what must come of it -----------------------------------------------------------------------------------------


@dataclass
class Expected:
    """`failing` are the nodes that run and fail; what depends on them has no status."""

    statuses: dict[str, str] = field(default_factory=dict[str, str])
    outputs: dict[str, Json] = field(default_factory=dict[str, Json])
    failing: set[str] = field(default_factory=set[str])


def interpret(nodes: MadeUp) -> Expected:
    expected = Expected()
    for index, node in enumerate(nodes):
        id_ = f"n{index}"
        if any(f"n{edge.source}" not in expected.statuses for edge in node.edges):
            continue
        if node.edges and not any(_taken(edge, expected) for edge in node.edges):
            expected.statuses[id_] = "skipped"
            expected.outputs[id_] = None
        elif node.fails:
            expected.failing.add(id_)
        else:
            expected.statuses[id_] = "succeeded"
            expected.outputs[id_] = _output(id_, node, expected)
    return expected


def _taken(edge: MadeUpEdge, expected: Expected) -> bool:
    source = f"n{edge.source}"
    if expected.statuses[source] != "succeeded" or edge.when is False:
        return False
    output: Any = expected.outputs[source]
    return edge.port is None or output["case"] == edge.port


def _output(id_: str, node: MadeUpNode, expected: Expected) -> Json:
    seen = [expected.outputs[f"n{edge.source}"] for edge in node.edges]
    match node.kind:
        case "pure":
            return [id_, seen]
        case "condition":
            return {"case": "yes" if node.holds else "else"}
        case "call":
            return {
                "text": "|".join(_answer(_question(id_, n, dumps(seen))) for n in range(node.calls)),
                "data": None,
                "citations": [],
            }


def _question(id_: str, number: int, told: str) -> str:
    return f"{id_}/{number}: {told}"


def _answer(question: str) -> str:
    return f"<{question}>"


# --- the world it runs in -----------------------------------------------------------------------------------------


class MadeUpWorld:
    """Fails as the nodes say, in whatever process: its counts outlive the engine's crashes, as a provider's do.

    `pauses` are the turns of the event loop that each node takes before and during each of its calls.
    """

    def __init__(self, nodes: MadeUp, pauses: list[int]) -> None:
        self._nodes = nodes
        self._pauses = pauses
        self._failed: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.world: World = scripted(self._crew, models=FakeModels(self._model))

    async def _crew(self, plan: CrewPlan, calls: StepCalls) -> str:
        id_ = plan.tasks[0].name
        index = int(id_[1:])
        node = self._nodes[index]
        texts: list[str] = []
        for number in range(node.calls):
            await self._pause(index)
            texts.append((await calls.model(ask(_question(id_, number, plan.tasks[0].description)))).text)
        await self._pause(index)
        if node.own_failures and (node.fails or self._failed[f"{id_} itself"] < node.own_failures):
            self._failed[f"{id_} itself"] += 1
            raise StepFailed("by itself", code="own_failure")
        return "|".join(texts)

    async def _model(self, request: ModelRequest) -> ModelReply:
        question = request.messages[-1].content
        id_, number = question.split(":")[0].split("/")
        await self._pause(int(id_[1:]))
        node = self._nodes[int(id_[1:])]
        fails = node.call_failures and (node.fails or self._failed[id_] < node.call_failures)
        if fails and int(number) == node.calls - 1:
            self._failed[id_] += 1
            raise CallFailed("overloaded", code="provider_unavailable", source="fake", retryable=True)
        self.answered[question] += 1
        return ModelReply(_answer(question))

    async def _pause(self, index: int) -> None:
        for _ in range(self._pauses[index % len(self._pauses)]):
            await asyncio.sleep(0)
