"""From a project's texts to agents in the pool and a workflow."""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from uuid import UUID

from services.workflows.crewai_format.bind import bind
from services.workflows.crewai_format.names import PoolModel, find_model
from services.workflows.crewai_format.read import Format, read_project
from services.workflows.crewai_format.report import Code, Item, Report
from services.workflows.crewai_format.to_graph import AgentDraft, Catalog, Resolver, crew_graph
from services.workflows.errors import ModelUnknown, NoModel
from services.workflows.schemas import WorkflowSaved
from services.workflows.service import add_workflow
from services.workflows.transfer import repository
from services.workflows.transfer.own_format import id_map, read_workflow, with_ids
from services.workflows.transfer.schemas import (
    CarriedAgent,
    CarriedModel,
    ImportedAgent,
    ImportOut,
    ImportRequest,
    ReportOut,
    WorkflowFile,
)
from shared.agents.creation import DEFAULT_MAX_ITERATIONS, NewAgent, add_agents
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.tools.catalogue import CATALOGUE, KNOWLEDGE_SEARCH

_UNNAMED = "Imported crew"
_MAX_NAME = 200


async def import_crew(
    session: WriteSession, caller: Principal, request: ImportRequest, format: Format | None
) -> ImportOut:
    """A crewAI project. Raises `ProjectError`, `NoModel`, `ModelUnknown`."""
    reading = await asyncio.to_thread(read_project, request.files, format)
    report = reading.report
    name = request.name or (reading.project.name or _UNNAMED)[:_MAX_NAME]
    project = bind(replace(reading.project, name=name), request.bindings, report)
    resolver = Resolver(project, await _catalog(session, request.model_id), report)
    drafts = resolver.agents()
    ids = await add_agents(session, caller, [_from_draft(draft) for draft in drafts])
    by_key = {draft.key: agent_id for draft, agent_id in zip(drafts, ids, strict=True)}
    graph = crew_graph(project, by_key, resolver.manager_model(), report)
    workflow = await add_workflow(session, caller, name, "", graph, "Imported from a crewAI project.")
    agents = [ImportedAgent(key=key, id=agent_id, name=key) for key, agent_id in by_key.items()]
    return _answer(workflow, agents, report)


def _from_draft(draft: AgentDraft) -> NewAgent:
    return NewAgent(
        name=draft.key,
        role=draft.role,
        goal=draft.goal,
        backstory=draft.backstory,
        model_id=draft.model_id,
        tools=draft.tools,
        temperature=draft.temperature,
        max_tokens=draft.max_tokens,
        max_iterations=draft.max_iterations or DEFAULT_MAX_ITERATIONS,
        allow_delegation=draft.allow_delegation,
    )


async def import_own(
    session: WriteSession, caller: Principal, request: ImportRequest, file_name: str, text: str
) -> ImportOut:
    """A workflow of ours, from this tenant or another. Raises `ProjectError`, `NoModel`, `ModelUnknown`."""
    file = await asyncio.to_thread(read_workflow, file_name, text)
    report = Report()
    catalog = await _catalog(session, request.model_id)
    models = _match_models(file, catalog, report)
    bases = await _match_knowledge_bases(session, file, report)
    connections = await _match_connections(session, file, report)
    new = [_from_carried(agent, models, bases, catalog.tools, report) for agent in file.agents.values()]
    ids = await add_agents(session, caller, new)
    agents = dict(zip(file.agents, ids, strict=True))
    graph = with_ids(file.graph, id_map(models, bases, connections, agents))
    name = request.name or file.name
    workflow = await add_workflow(session, caller, name, file.description, graph, "Imported.")
    imported = [
        ImportedAgent(key=str(old), id=agent_id, name=file.agents[old].name) for old, agent_id in agents.items()
    ]
    return _answer(workflow, imported, report)


class _Models(dict[UUID, UUID]):
    """Models of the file by what they are here; whatever the file does not describe is the fallback."""

    def __init__(self, fallback: UUID) -> None:
        self._fallback = fallback

    def __missing__(self, _: UUID) -> UUID:
        return self._fallback


def _match_models(file: WorkflowFile, catalog: Catalog, report: Report) -> _Models:
    models = _Models(catalog.fallback.id)
    for old, carried in file.models.items():
        where = f"models.{carried.name}"
        found = _find_carried(carried, catalog)
        if found is None:
            message = f"there is no such model here; uses '{catalog.fallback.name}' instead"
            report.missing.append(Item(Code.MODEL_MISSING, where, message))
        else:
            report.mapped.append(Item(Code.MODEL, where, f"is the model '{found.name}'"))
        models[old] = (found or catalog.fallback).id
    return models


def _find_carried(carried: CarriedModel, catalog: Catalog) -> PoolModel | None:
    same = (m for m in catalog.models if (m.provider, m.model) == (carried.provider, carried.model))
    return next(same, None) or find_model(catalog.models, carried.name)


async def _match_knowledge_bases(session: ReadSession, file: WorkflowFile, report: Report) -> dict[UUID, UUID]:
    known = await repository.knowledge_bases_named(session, [base.name for base in file.knowledge_bases.values()])
    found: dict[UUID, UUID] = {}
    for old, base in file.knowledge_bases.items():
        where = f"knowledge_bases.{base.name}"
        if base.name in known:
            found[old] = known[base.name]
            report.mapped.append(Item(Code.KNOWLEDGE_BASE, where, "is the knowledge base of that name"))
        else:
            message = "there is no knowledge base of that name here; make one and attach it"
            report.missing.append(Item(Code.KNOWLEDGE_BASE_MISSING, where, message))
    return found


async def _match_connections(session: ReadSession, file: WorkflowFile, report: Report) -> dict[UUID, UUID]:
    known = await repository.connections_named(session, [each.name for each in file.connections.values()])
    found: dict[UUID, UUID] = {}
    for old, each in file.connections.items():
        where = f"connections.{each.name}"
        here = known.get((each.name, each.host))
        if here is not None:
            found[old] = here
            report.mapped.append(Item(Code.CONNECTION, where, "is the connection of that name and host"))
        else:
            message = f"there is no connection of that name for {each.host} here; make one and choose it"
            report.missing.append(Item(Code.CONNECTION_MISSING, where, message))
    return found


def _from_carried(
    agent: CarriedAgent,
    models: Mapping[UUID, UUID],
    bases: Mapping[UUID, UUID],
    tools: Collection[str],
    report: Report,
) -> NewAgent:
    where = f"agents.{agent.name}"
    report.mapped.append(Item(Code.AGENT, where, "becomes an agent"))
    kept = tuple(tool for tool in agent.tools if tool in tools)
    for tool in agent.tools:
        if tool not in kept:
            message = f"there is no tool '{tool}' here; the agent goes without it"
            report.missing.append(Item(Code.TOOL_MISSING, f"{where}.tools", message))
    return NewAgent(
        name=agent.name,
        description=agent.description,
        role=agent.role,
        goal=agent.goal,
        backstory=agent.backstory,
        system_prompt=agent.system_prompt,
        model_id=models[agent.model_id],
        tools=kept,
        approve_tools=tuple(tool for tool in agent.approve_tools if tool in (*kept, KNOWLEDGE_SEARCH)),
        knowledge_base_ids=tuple(bases[i] for i in agent.knowledge_base_ids if i in bases),
        temperature=agent.temperature,
        max_tokens=agent.max_tokens,
        max_iterations=agent.max_iterations,
        allow_delegation=agent.allow_delegation,
        suggested_prompts=tuple(agent.suggested_prompts),
    )


async def _catalog(session: ReadSession, model_id: UUID | None) -> Catalog:
    models = [PoolModel(m.id, m.name, m.provider, m.model) for m in await repository.list_models(session)]
    if model_id is not None:
        chosen = next((model for model in models if model.id == model_id), None)
        if chosen is None:
            raise ModelUnknown
    elif models:
        chosen = models[0]
    else:
        raise NoModel
    tools = [*CATALOGUE, *await repository.tool_names(session)]
    return Catalog(tools=tools, models=models, fallback=chosen)


def _answer(workflow: WorkflowSaved, agents: list[ImportedAgent], report: Report) -> ImportOut:
    return ImportOut(workflow=workflow, agents=agents, report=ReportOut.model_validate(report))
