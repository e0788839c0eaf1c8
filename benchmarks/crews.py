"""What a crew costs, against the same crew by stock crewAI and against bare calls to the provider."""

import asyncio
import statistics
import time

from benchmarks.accounting import cpu_seconds, memory_mb
from benchmarks.crew import ROLES, agent, task
from benchmarks.report import Figure
from benchmarks.stack import Measured, baseline, measured_stack
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client

ROUNDS = 3
RUNS = 60
AT_ONCE = 100


async def cpu_per_execution() -> list[Figure]:
    """In turns with stock crewAI, so that a slow minute of the machine slows both. The provider's CPU is left out."""
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client, workflow = await three_task_crew(measured)
            await _run(client, workflow, 20)
            ours: list[float] = []
            stock: list[float] = []
            for _ in range(ROUNDS):
                before = cpu_seconds(measured.pids)
                await _run(client, workflow, RUNS)
                ours.append((cpu_seconds(measured.pids) - before) / RUNS * 1000)
                stock.append(await baseline("stock_crew", provider.base_url, RUNS // 2))
    ratio = statistics.median(a / b for a, b in zip(ours, stock, strict=True))
    return [
        Figure("stock crewAI: CPU per run of the crew", statistics.median(stock), "ms"),
        Figure(
            "CPU per execution of a three-task crew, all processes",
            statistics.median(ours),
            "ms",
            "stock crewAI 1.15.30 Crew.kickoff",
            ratio,
            "<= 0.4",
        ),
    ]


async def many_at_once() -> list[Figure]:
    with FakeModelServer(latency_ms=50, chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client, workflow = await three_task_crew(measured)
            await _run(client, workflow, AT_ONCE)
            worker = measured.product.workers[0]
            assert worker.process is not None
            ours: list[float] = []
            bare: list[float] = []
            for _ in range(ROUNDS):
                ours.append(await _run(client, workflow, AT_ONCE))
                bare.append(await baseline("bare_calls", provider.base_url, AT_ONCE, len(ROLES)))
            memory = memory_mb([worker.process.pid])
    ratio = statistics.median(a / b for a, b in zip(ours, bare, strict=True))
    return [
        Figure(f"{AT_ONCE} bare openai clients, three calls of 50 ms each", statistics.median(bare), "s"),
        Figure(
            f"{AT_ONCE} three-task crews at once, 50 ms a call, all succeeded",
            statistics.median(ours),
            "s",
            "bare openai clients",
            ratio,
            "<= 4",
        ),
        Figure("memory of the worker after that", memory, "MB", goal="<= 450"),
    ]


async def three_task_crew(measured: Measured) -> tuple[Client, str]:
    """A tenant of its own, and its workflow."""
    client = await measured.product.sign_up()
    agents = [await client.agent(role, **agent(role)) for role in ROLES]
    tasks = [
        {"name": role, "agent_id": made, **task(role, "{{ inputs.topic }}")}
        for role, made in zip(ROLES, agents, strict=True)
    ]
    config = {"process": "sequential", "agent_ids": agents, "tasks": tasks}
    graph = {
        "spec": 1,
        "inputs": {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"]},
        "nodes": [{"id": "crew", "type": "crew", "name": "Crew", "config": config}],
        "edges": [],
        "outputs": {"text": "nodes.crew.output.text"},
    }
    return client, await client.workflow(graph)


async def _run(client: Client, workflow: str, count: int) -> float:
    """Starts `count` executions at once through the API; the wall seconds until all have succeeded."""
    started = time.perf_counter()
    ids = await asyncio.gather(*(client.execute(workflow, {"topic": f"topic {n}"}) for n in range(count)))
    for execution_id in reversed(ids):
        execution = await client.finished(execution_id, within=120)
        if execution["status"] != "succeeded":
            raise RuntimeError(f"an execution did not succeed: {execution['error']}")
        if time.perf_counter() - started > 300:
            raise RuntimeError("the executions take for ever")
    return time.perf_counter() - started
