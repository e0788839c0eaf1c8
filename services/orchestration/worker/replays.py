"""Executions that replay another one."""

from uuid import UUID

from services.orchestration.adapters.past import read_past
from services.orchestration.engine.jobs import JobHandler, JobSteps
from services.orchestration.engine.ports import Outside, StepFailed
from services.orchestration.engine.replay.replay import replay
from shared.database.session import Database, Scope
from shared.executions.errors import ExecutionNotFound
from shared.kit.json import Json


def replay_handler(database: Database, outside: Outside) -> JobHandler:
    """`outside` is what agents work with, and is asked what models and tools there are; nothing is called."""

    async def run(steps: JobSteps) -> Json:
        async def report() -> Json:
            try:
                async with database.read(Scope(steps.tenant_id)) as session:
                    past = await read_past(session, UUID(steps.spec["execution_id"]))
            except ExecutionNotFound as gone:
                raise StepFailed("the execution is gone", code="execution_not_found", retryable=False) from gone
            return await replay(past, outside)

        return await steps.step("replay", report)

    return run
