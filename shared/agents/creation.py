"""Adding agents to a tenant's pool, for whichever service has a reason to."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.agents import Agent, AgentKnowledgeBase
from shared.kit.ids import new_id

DEFAULT_MAX_ITERATIONS = 15


@dataclass(frozen=True, slots=True)
class NewAgent:
    """The model and the knowledge bases must be the tenant's; the database refuses any other."""

    name: str
    role: str
    goal: str
    backstory: str
    model_id: UUID
    description: str = ""
    system_prompt: str | None = None
    tools: tuple[str, ...] = ()
    approve_tools: tuple[str, ...] = ()
    knowledge_base_ids: tuple[UUID, ...] = ()
    temperature: float | None = None
    max_tokens: int | None = None
    max_iterations: int = DEFAULT_MAX_ITERATIONS
    allow_delegation: bool = False
    suggested_prompts: tuple[str, ...] = ()


async def add_agents(session: WriteSession, caller: Principal, agents: Sequence[NewAgent]) -> list[UUID]:
    """Their ids, in the same order."""
    rows = [_row(caller, agent) for agent in agents]
    session.add_all(rows)
    await session.flush()
    for row, agent in zip(rows, agents, strict=True):
        for knowledge_base_id in dict.fromkeys(agent.knowledge_base_ids):
            session.add(
                AgentKnowledgeBase(tenant_id=row.tenant_id, agent_id=row.id, knowledge_base_id=knowledge_base_id)
            )
    await session.flush()
    return [row.id for row in rows]


def _row(caller: Principal, agent: NewAgent) -> Agent:
    return Agent(
        id=new_id(),
        tenant_id=caller.tenant_id,
        name=agent.name,
        description=agent.description,
        role=agent.role,
        goal=agent.goal,
        backstory=agent.backstory,
        system_prompt=agent.system_prompt,
        model_id=agent.model_id,
        tools=list(agent.tools),
        approve_tools=list(agent.approve_tools),
        temperature=agent.temperature,
        max_tokens=agent.max_tokens,
        max_iterations=agent.max_iterations,
        allow_delegation=agent.allow_delegation,
        suggested_prompts=list(agent.suggested_prompts),
        created_by=caller.user_id,
    )
