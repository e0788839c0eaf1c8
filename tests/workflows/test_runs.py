"""What is imported and started runs: snapshots of real projects, on the engine and crewAI, with a scripted model."""

from uuid import UUID

import pytest

from services.orchestration.engine.ports import ExecutionStatus, ModelReply, ModelRequest
from services.orchestration.runtimes.crewai import CrewAIRuntime
from shared.database.tables.ledger import ExecutionRow
from tests.engine.fakes import FakeModels, MemoryLedger, World
from tests.workflows.conftest import Tenant
from tests.workflows.projects import REAL_NAMES, Project, example, needs_real_projects, real_project


async def run(here: Tenant, project: Project) -> tuple[MemoryLedger, list[str]]:
    """From the project's files to the end of an execution; with everything that the model was told."""
    made = await here.post("/workflows/import", {"files": project.files, "bindings": project.bindings})
    inputs = {name: f"the {name} given" for name in made["workflow"]["graph"]["inputs"]["properties"]}
    started = await here.post(f"/workflows/{made['workflow']['id']}/execute", {"inputs": inputs})
    async with here.platform.resources.database.read(here.scope) as session:
        row = await session.get_one(ExecutionRow, UUID(started["id"]))
    told: list[str] = []

    def answer(request: ModelRequest) -> ModelReply:
        told.append("\n".join(message.content for message in request.messages))
        return ModelReply(text="Final text", data={"kind": "order", "urgent": True})

    ledger = MemoryLedger(row.spec, row.inputs)
    await World(models=FakeModels(answer), agents=CrewAIRuntime()).run(ledger)
    for name, value in inputs.items():
        assert any(value in text for text in told), name
    assert not any("{{" in text for text in told)
    return ledger, told


@needs_real_projects
@pytest.mark.parametrize("name", REAL_NAMES)
async def test_a_real_project_runs_to_its_end(here: Tenant, name: str) -> None:
    ledger, told = await run(here, real_project(name))
    assert ledger.ended is not None
    assert ledger.ended.status is ExecutionStatus.SUCCEEDED, ledger.ended.error
    assert ledger.ended.output == {"result": "Final text"}
    tasks = ledger.outputs()["crew"]["tasks"]
    assert len(told) == len(tasks)


@pytest.mark.parametrize("name", ["research_team", "support_desk"])
async def test_the_examples_run_to_their_end(here: Tenant, name: str) -> None:
    ledger, _ = await run(here, Project(example(name), {}))
    assert ledger.ended is not None
    assert ledger.ended.status is ExecutionStatus.SUCCEEDED, ledger.ended.error
