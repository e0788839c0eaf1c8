"""From a stored workflow to files that can be carried elsewhere."""

import io
import re
import zipfile
from collections.abc import Mapping
from uuid import UUID

from services.workflows.crewai_format.export_agents import PoolAgent
from services.workflows.crewai_format.from_graph import project_from_graph
from services.workflows.crewai_format.names import PoolModel
from services.workflows.crewai_format.read import Format
from services.workflows.crewai_format.report import Code, Item, Report
from services.workflows.crewai_format.write import write_project
from services.workflows.transfer.own_format import FILE_NAME, write_workflow
from services.workflows.transfer.schemas import ExportOut, ReportOut, TransferFormat
from shared.database.tables.agents import Agent
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.executions.pool import Pool
from shared.workflow.graph import Graph

_NO_NAME = re.compile(r"[^A-Za-z0-9]+")
# Archives of the same workflow are the same bytes.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)


def export_own(workflow: Workflow, version: WorkflowVersion, pool: Pool) -> ExportOut:
    report = Report()
    for agent in pool.agents.values():
        report.mapped.append(Item(Code.AGENT, f"agents.{agent.name}", "is carried along"))
    text = write_workflow(workflow.name, workflow.description, version.graph, pool)
    return _out(TransferFormat.JSON, {FILE_NAME: text}, report)


def export_crew(workflow: Workflow, version: WorkflowVersion, pool: Pool, format: Format) -> ExportOut:
    """As a crewAI project. Raises `ProjectError`."""
    report = Report()
    models = {model.id: PoolModel(model.id, model.name, model.provider, model.model) for model in pool.models.values()}
    agents = {agent.id: _pool_agent(agent, pool, models) for agent in pool.agents.values()}
    graph = Graph.model_validate(version.graph)
    project = project_from_graph(workflow.name, graph, agents, models, report)
    return _out(TransferFormat(format.value), write_project(project, format, report), report)


def _pool_agent(agent: Agent, pool: Pool, models: Mapping[UUID, PoolModel]) -> PoolAgent:
    return PoolAgent(
        id=agent.id,
        name=agent.name,
        role=agent.role,
        goal=agent.goal,
        backstory=agent.backstory,
        system_prompt=agent.system_prompt,
        model=models[agent.model_id],
        tools=tuple(agent.tools),
        knowledge_base_ids=pool.agent_knowledge_bases.get(agent.id, ()),
        temperature=agent.temperature,
        max_tokens=agent.max_tokens,
        max_iterations=agent.max_iterations,
        allow_delegation=agent.allow_delegation,
    )


def _out(format: TransferFormat, files: dict[str, str], report: Report) -> ExportOut:
    return ExportOut(format=format, files=files, report=ReportOut.model_validate(report))


def as_zip(files: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def archive_name(workflow_name: str) -> str:
    return f"{_NO_NAME.sub('-', workflow_name).strip('-').lower()[:60] or 'workflow'}.zip"
