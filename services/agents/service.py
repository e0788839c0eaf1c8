"""Agents of a tenant: kept, found, copied, taken away."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from services.agents import repository, validation
from services.agents.errors import AgentInUse, AgentNotFound
from services.agents.repository import SORTINGS, Filters
from services.agents.schemas import AgentClone, AgentIn, AgentOut, AgentSort, ToolOut
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.agents import Agent
from shared.kit.ids import new_id
from shared.tools.catalogue import CATALOGUE
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page

_NAMED_WORKFLOWS = 20
_COPIED = (
    "description",
    "role",
    "goal",
    "backstory",
    "system_prompt",
    "model_id",
    "tools",
    "approve_tools",
    "temperature",
    "max_tokens",
    "max_iterations",
    "allow_delegation",
    "suggested_prompts",
)


async def list_agents(
    session: ReadSession, filters: Filters, sort: AgentSort, limit: int, cursor: str | None
) -> Page[AgentOut]:
    sorting = SORTINGS[sort]
    after = decode_cursor(cursor, sorting.read, UUID) if cursor else None
    rows = await repository.agents(session, filters, sorting, after, limit + 1)
    bases = await repository.knowledge_bases_of(session, [row.id for row in rows])
    return page(
        rows,
        limit,
        lambda row: _out(row, bases.get(row.id, ())),
        lambda row: (getattr(row, sorting.column.key), row.id),
    )


async def get(session: ReadSession, agent_id: UUID) -> AgentOut:
    agent = await find(session, agent_id)
    return _out(agent, await _knowledge_bases(session, agent))


async def create(session: WriteSession, caller: Principal, wanted: AgentIn) -> AgentOut:
    await validation.check(session, wanted)
    return await _add(session, caller, _columns(wanted), wanted.knowledge_base_ids)


async def update(session: WriteSession, agent_id: UUID, wanted: AgentIn) -> AgentOut:
    agent = await repository.lock_agent(session, agent_id)
    if agent is None:
        raise AgentNotFound
    await validation.check(session, wanted)
    for name, value in _columns(wanted).items():
        setattr(agent, name, value)
    agent.version += 1
    await repository.attach_knowledge_bases(session, agent, _once(wanted.knowledge_base_ids))
    await session.flush()
    await session.refresh(agent)
    return _out(agent, await _knowledge_bases(session, agent))


async def clone(session: WriteSession, caller: Principal, agent_id: UUID, request: AgentClone) -> AgentOut:
    agent = await find(session, agent_id)
    columns = {name: getattr(agent, name) for name in _COPIED}
    columns["name"] = request.name or f"{agent.name[:190]} (copy)"
    return await _add(session, caller, columns, await _knowledge_bases(session, agent))


async def delete(session: WriteSession, agent_id: UUID) -> None:
    """Executions that run it go on: they have their own copy."""
    agent = await repository.lock_agent(session, agent_id)
    if agent is None:
        raise AgentNotFound
    used = await repository.workflows_using(session, agent_id, _NAMED_WORKFLOWS)
    if used:
        raise AgentInUse(
            details=[ErrorDetail(field=f"workflows.{id_}", message=name, code="uses_agent") for id_, name in used]
        )
    await repository.delete_agent(session, agent)


async def find(session: ReadSession, agent_id: UUID) -> Agent:
    agent = await repository.get_agent(session, agent_id)
    if agent is None:
        raise AgentNotFound
    return agent


def list_tools() -> Page[ToolOut]:
    return Page(items=[ToolOut.model_validate(tool) for tool in CATALOGUE.values()], next_cursor=None)


async def _add(session: WriteSession, caller: Principal, columns: dict[str, Any], base_ids: Sequence[UUID]) -> AgentOut:
    agent = Agent(id=new_id(), tenant_id=caller.tenant_id, created_by=caller.user_id, **columns)
    session.add(agent)
    await session.flush()
    await repository.attach_knowledge_bases(session, agent, _once(base_ids))
    await session.refresh(agent)
    return _out(agent, await _knowledge_bases(session, agent))


async def _knowledge_bases(session: ReadSession, agent: Agent) -> Sequence[UUID]:
    return (await repository.knowledge_bases_of(session, [agent.id])).get(agent.id, ())


def _columns(wanted: AgentIn) -> dict[str, Any]:
    columns = wanted.model_dump(exclude={"knowledge_base_ids"})
    columns["tools"] = _once(wanted.tools)
    columns["approve_tools"] = _once(wanted.approve_tools)
    return columns


def _once(values: Sequence[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _out(agent: Agent, base_ids: Sequence[UUID]) -> AgentOut:
    columns = {name: getattr(agent, name) for name in AgentOut.model_fields if name != "knowledge_base_ids"}
    return AgentOut(**columns, knowledge_base_ids=list(base_ids))
