"""What a step costs that does nothing, with everything durable: the engine, its worker and its database.

Against LangGraph with its Postgres checkpointer, on the same graphs and the same Postgres server, in turns: as its
documentation sets it up, and tuned (see the baseline). Steps that make a call are each on record before the next one
begins, as each superstep is there. Expressions are written when something depends on them: a chain of them costs one
write, and a crash before it costs only that they are evaluated again.
"""

import json
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.accounting import cpu_seconds
from benchmarks.baselines.environment import Conversation, conversation
from benchmarks.direct import Direct, direct
from benchmarks.report import Figure
from benchmarks.shapes import SHAPES, Shape
from benchmarks.stack import Measured, measured_stack
from shared.database.url import asyncpg_url
from shared.kit.json import JsonObject
from tests.fakes.model_server import FakeModelServer

ROUNDS = 3
AT_ONCE = 50
_BASELINE_DATABASE = "compared"
_USAGES = ("documented", "tuned")


@dataclass(frozen=True)
class Cost:
    """Of one round: wall seconds, and CPU seconds of everything that worked for it."""

    wall: float
    cpu: float


async def measure() -> list[Figure]:
    figures: list[Figure] = []
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured, direct(measured) as client:
            url = await _database_beside(measured)
            for shape in SHAPES.values():
                figures += await _compare(measured, client, url, shape)
    return figures


async def _compare(measured: Measured, client: Direct, url: str, shape: Shape) -> list[Figure]:
    await _ours(measured, client, shape)
    ours: list[Cost] = []
    theirs: dict[str, list[Cost]] = {usage: [] for usage in _USAGES}
    async with AsyncExitStack() as stack:
        others = {
            usage: await stack.enter_async_context(conversation("langgraph_steps", url, shape.name, usage))
            for usage in _USAGES
        }
        for _ in range(ROUNDS):
            ours.append(await _ours(measured, client, shape))
            for usage, other in others.items():
                theirs[usage].append(await _theirs(measured, other))
    return _figures(shape, ours, theirs)


def _figures(shape: Shape, ours: list[Cost], theirs: dict[str, list[Cost]]) -> list[Figure]:
    steps = shape.steps * AT_ONCE
    rate = statistics.median(steps / cost.wall for cost in ours)
    cpu = statistics.median(cost.cpu / steps * 1e6 for cost in ours)
    figures: list[Figure] = []
    for usage, costs in theirs.items():
        goal = usage == "documented"
        other = f"LangGraph, {usage}"
        faster = statistics.median(b.wall / a.wall for a, b in zip(ours, costs, strict=True))
        cheaper = statistics.median(a.cpu / b.cpu for a, b in zip(ours, costs, strict=True))
        figures += [
            Figure(f"{other}: {shape.title}", statistics.median(steps / cost.wall for cost in costs), "steps/s"),
            Figure(shape.title, rate, "steps/s", other, faster, ">= 10" if goal else ""),
            Figure(f"{other}: CPU per step", statistics.median(cost.cpu / steps * 1e6 for cost in costs), "us"),
            Figure("CPU per step, all processes", cpu, "us", other, cheaper, "<= 0.1" if goal else ""),
        ]
    return figures


async def _ours(measured: Measured, client: Direct, shape: Shape) -> Cost:
    """From the first submit to the last end. This process submits and watches: its CPU counts too."""
    wanted = graph(shape)
    cpu = cpu_seconds(measured.pids) + time.process_time()
    started = time.perf_counter()
    await client.all_succeeded(await client.submit_graph(wanted, AT_ONCE))
    wall = time.perf_counter() - started
    return Cost(wall, cpu_seconds(measured.pids) + time.process_time() - cpu)


async def _theirs(measured: Measured, other: Conversation) -> Cost:
    process = measured.components["postgres"].process
    assert process is not None
    before = cpu_seconds([process.pid])
    told = json.loads(await other.ask(AT_ONCE))
    return Cost(told["wall"], told["cpu"] + cpu_seconds([process.pid]) - before)


async def _database_beside(measured: Measured) -> str:
    """An empty database in the same server, for somebody else's tables."""
    url = make_url(measured.components["postgres"].url)
    engine = create_async_engine(asyncpg_url(measured.components["postgres"].url), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {_BASELINE_DATABASE}"))
    await engine.dispose()
    return url.set(database=_BASELINE_DATABASE).render_as_string(hide_password=False)


# --- the same graphs for us -------------------------------------------------------------------------------


def graph(shape: Shape) -> JsonObject:
    names = [f"s{number}" for number in range(shape.steps)]
    if shape.width:
        first, *between, last = names
        nodes = [_node(shape, first, ()), *(_node(shape, name, (first,)) for name in between)]
        nodes.append(_node(shape, last, between, plus=0))
        edges = [*((first, name) for name in between), *((name, last) for name in between)]
    else:
        nodes = [_node(shape, name, names[max(0, place - 1) : place]) for place, name in enumerate(names)]
        edges = list(pairwise(names))
    return {
        "spec": 1,
        "nodes": nodes,
        "edges": [{"from": source, "to": target} for source, target in edges],
        "outputs": {"value": f"nodes.{names[-1]}.output"},
    }


def _node(shape: Shape, name: str, added: Sequence[str], plus: int = 1) -> JsonObject:
    """One that adds up what others gave, and a number."""
    if not shape.calls:
        expression = " + ".join([*(f"nodes.{other}.output" for other in added), str(plus)])
        return {"id": name, "type": "transform", "config": {"expression": expression}}
    terms = " + ' + ' + ".join([*(f"nodes.{other}.output.text" for other in added), f"'{plus}'"])
    return {"id": name, "type": "tool", "config": {"tool": "calculator", "arguments": {"expression": terms}}}
