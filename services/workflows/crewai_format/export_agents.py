"""Agents of the pool as agents of a crewAI crew."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.export_text import TextExport
from services.workflows.crewai_format.names import PoolModel
from services.workflows.crewai_format.project import CrewAgent
from services.workflows.crewai_format.report import Code, Item, Report

# Keys become method names in crew.py and file names in agents/.
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_NO_KEY = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class PoolAgent:
    """An agent of the tenant's pool, with its model."""

    id: UUID
    name: str
    role: str
    goal: str
    backstory: str
    system_prompt: str | None
    model: PoolModel
    tools: tuple[str, ...]
    knowledge_base_ids: tuple[UUID, ...]
    temperature: float | None
    max_tokens: int | None
    max_iterations: int
    allow_delegation: bool


class AgentExport:
    """`keys` are the names by which the crew calls its agents."""

    def __init__(
        self,
        member_ids: Iterable[UUID],
        manager_id: UUID | None,
        pool: Mapping[UUID, PoolAgent],
        report: Report,
    ) -> None:
        self._manager_id = manager_id
        self._pool = pool
        self._report = report
        ids = [*member_ids] if manager_id is None else [*member_ids, manager_id]
        self.keys: dict[UUID, str] = {}
        for agent_id in dict.fromkeys(ids):
            self.keys[agent_id] = self._key(self._find(agent_id).name)

    def members(self) -> tuple[CrewAgent, ...]:
        return tuple(self._agent(agent_id) for agent_id in self.keys if agent_id != self._manager_id)

    def manager(self) -> CrewAgent | None:
        return None if self._manager_id is None else self._agent(self._manager_id)

    def _find(self, agent_id: UUID) -> PoolAgent:
        if agent_id not in self._pool:
            raise ProjectError(Fault(f"the workflow refers to the agent {agent_id}, which is not there"))
        return self._pool[agent_id]

    def _key(self, name: str) -> str:
        wanted = name if _KEY.fullmatch(name) else _NO_KEY.sub("_", name).strip("_")[:60] or "agent"
        if wanted[0].isdigit():
            wanted = f"agent_{wanted}"
        key, number = wanted, 2
        while key in self.keys.values():
            key, number = f"{wanted}_{number}", number + 1
        if key != name:
            message = f"the agent '{name}' is called '{key}'"
            self._report.mapped.append(Item(Code.CHANGED, f"agents.{key}", message))
        return key

    def _agent(self, agent_id: UUID) -> CrewAgent:
        agent = self._find(agent_id)
        where = f"agents.{self.keys[agent_id]}"
        texts = TextExport(self._report)
        self._report_agent(where, agent)
        return CrewAgent(
            key=self.keys[agent_id],
            role=texts.text(f"{where}.role", agent.role),
            goal=texts.text(f"{where}.goal", agent.goal),
            backstory=texts.text(f"{where}.backstory", agent.backstory),
            tools=agent.tools,
            llm=agent.model.llm_name,
            temperature=agent.temperature,
            max_tokens=agent.max_tokens,
            max_iterations=agent.max_iterations,
            allow_delegation=agent.allow_delegation,
        )

    def _report_agent(self, where: str, agent: PoolAgent) -> None:
        report = self._report
        report.mapped.append(Item(Code.AGENT, where, f"is the agent '{agent.name}'"))
        if agent.system_prompt:
            why = "left out: agents of a crew have no system prompt of their own"
            report.ignored.append(Item(Code.UNSUPPORTED, f"{where}.system_prompt", why))
        if agent.knowledge_base_ids:
            why = "left out: documents do not travel with a crew"
            report.ignored.append(Item(Code.UNSUPPORTED, f"{where}.knowledge_base_ids", why))
        for tool in agent.tools:
            message = f"crewAI must be given a tool named '{tool}' in code"
            report.missing.append(Item(Code.TOOL_MISSING, f"{where}.tools", message))
        if agent.model.needs_address:
            message = "crewAI must be told the address of the model's server (OPENAI_BASE_URL)"
            report.missing.append(Item(Code.MODEL_MISSING, f"{where}.llm", message))
