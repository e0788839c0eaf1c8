"""LangGraph with its Postgres checkpointer: `langgraph_steps.py URL SHAPE USAGE`, in an environment of its own.

Says "ready" when its tables are there and it has warmed up. For every line "COUNT" that it reads it runs so many
executions at once and answers with JSON: {"wall", "cpu"}, both in seconds, of this process.

`durability="sync"`: each superstep is on disk before the next one begins, as with us. USAGE is `documented`, with one
saver on a pool, or `tuned`: such a saver holds a lock around every write, so each execution gets a saver of its own on
the same pool. Either has uvloop and the C speedups of psycopg, as we do; what it would send home (LangSmith) is off.
"""

import asyncio
import json
import operator
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import uuid4

os.environ.update(LANGSMITH_TRACING="false", LANGGRAPH_STRICT_MSGPACK="true")

import uvloop
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.shapes import SHAPES, Shape

CONNECTIONS = 10


class Chained(TypedDict):
    value: int


class Gathered(TypedDict):
    values: Annotated[list[int], operator.add]
    value: int


async def _add_one(state: Chained) -> dict[str, Any]:
    return {"value": state["value"] + 1}


async def _give_two(state: Gathered) -> dict[str, Any]:
    return {"values": [state["value"] + 1]}


async def _add_up(state: Gathered) -> dict[str, Any]:
    return {"value": sum(state["values"])}


def _chain(length: int) -> StateGraph:
    builder = StateGraph(Chained)
    names = [f"s{number}" for number in range(length)]
    for name in names:
        builder.add_node(name, _add_one)
    for source, target in zip([START, *names], [*names, END], strict=True):
        builder.add_edge(source, target)
    return builder


def _fan(width: int) -> StateGraph:
    builder = StateGraph(Gathered)
    names = [f"s{number}" for number in range(width)]
    builder.add_node("first", _add_one)
    builder.add_node("last", _add_up)
    builder.add_edge(START, "first")
    for name in names:
        builder.add_node(name, _give_two)
        builder.add_edge("first", name)
    builder.add_edge(names, "last")
    builder.add_edge("last", END)
    return builder


def _executor(shape: Shape, pool: AsyncConnectionPool, usage: str) -> Callable[[], Awaitable[None]]:
    builder = _fan(shape.width) if shape.width else _chain(shape.length)
    shared = builder.compile(checkpointer=AsyncPostgresSaver(pool))

    async def execute() -> None:
        graph = shared if usage == "documented" else shared.copy({"checkpointer": AsyncPostgresSaver(pool)})
        answer = await graph.ainvoke(
            {"value": 0},
            {"configurable": {"thread_id": str(uuid4())}, "recursion_limit": shape.steps + 5},
            durability="sync",
        )
        if answer["value"] != shape.answer:
            raise SystemExit(f"a wrong answer: {answer}")

    return execute


async def main(url: str, shape: Shape, usage: str) -> None:
    pool = AsyncConnectionPool(
        url,
        min_size=CONNECTIONS,
        max_size=CONNECTIONS,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        open=False,
    )
    async with pool:
        await AsyncPostgresSaver(pool).setup()
        execute = _executor(shape, pool, usage)
        await asyncio.gather(*(execute() for _ in range(3)))
        print("ready", flush=True)
        while line := (await asyncio.to_thread(sys.stdin.readline)).strip():
            cpu, wall = time.process_time(), time.perf_counter()
            await asyncio.gather(*(execute() for _ in range(int(line))))
            print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], SHAPES[sys.argv[2]], sys.argv[3]))
