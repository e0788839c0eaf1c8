"""What an execution leaves in the database, table by table, indexes and dead rows included."""

from uuid import UUID

from benchmarks.crews import three_task_crew
from benchmarks.direct import Direct, direct_for
from benchmarks.report import Figure
from benchmarks.stack import measured_stack
from tests.fakes.model_server import FakeModelServer

EXECUTIONS = 400
_TABLES = ("executions", "task_executions", "calls", "execution_events")
_SIZE = "SELECT pg_total_relation_size($1::text::regclass)"
_WHOLE = "SELECT pg_database_size(current_database())"


async def per_execution() -> list[Figure]:
    with FakeModelServer(chunks=1) as provider:
        async with measured_stack(provider) as measured:
            client, workflow = await three_task_crew(measured)
            first = await client.execute(workflow, {"topic": "the first"})
            await client.finished(first)
            me = await client.get("/users/me")
            async with direct_for(measured, UUID(me["tenant"]["id"])) as tenant:
                spec = await tenant.snapshot(first)
                await _run(tenant, spec, EXECUTIONS // 4)
                before = await _sizes(tenant)
                await _run(tenant, spec, EXECUTIONS)
                after = await _sizes(tenant)
    grown = {name: (after[name] - before[name]) / EXECUTIONS / 1024 for name in after}
    whole = grown.pop("")
    return [
        Figure("growth of the database per execution of a three-task crew", whole, "KiB"),
        *(Figure(f"  of it in {name}", size, "KiB") for name, size in grown.items()),
    ]


async def _run(tenant: Direct, spec: dict[str, object], count: int) -> None:
    for _ in range(count // 100):
        await tenant.all_succeeded(await tenant.submit(spec, {"topic": "the tides"}, 100))


async def _sizes(tenant: Direct) -> dict[str, int]:
    sizes = {name: await tenant.database.fetchval(_SIZE, name) for name in _TABLES}
    return {**sizes, "": await tenant.database.fetchval(_WHOLE)}
