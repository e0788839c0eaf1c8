"""The agents, models and tools as they were when the execution was submitted."""

from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import AgentPlan, Effect, StepFailed, ToolSpec
from shared.kit.json import JsonObject


class Snapshot:
    def __init__(self, spec: JsonObject) -> None:
        self._agents: JsonObject = spec.get("agents") or {}
        models: JsonObject = spec.get("models") or {}
        self.model_names: dict[str, str] = {id_: about["name"] for id_, about in models.items()}

        self._tools: JsonObject = spec.get("tools") or {}
        self._tool_specs = {name: _tool(name, stored) for name, stored in self._tools.items()}

    def tool(self, name: str) -> ToolSpec | None:
        """One of the tenant's own tools; what comes with the product is not in the snapshot."""
        return self._tool_specs.get(name)

    def tool_definition(self, name: str) -> JsonObject | None:
        return self._tools.get(name)

    def agent_name(self, agent_id: UUID) -> str:
        stored: Any = self._agents.get(str(agent_id))
        return str(agent_id) if stored is None else stored["name"]

    def agent(self, agent_id: UUID) -> AgentPlan:
        stored = self._agents.get(str(agent_id))
        if stored is None:
            raise StepFailed(
                f"agent {agent_id} is not in the execution's snapshot: submit it again",
                code="agent_missing",
                retryable=False,
            )
        return _agent(stored)


def _agent(stored: Any) -> AgentPlan:
    return AgentPlan(
        id=UUID(stored["id"]),
        name=stored["name"],
        role=stored["role"],
        goal=stored["goal"],
        backstory=stored["backstory"],
        model_id=UUID(stored["model_id"]),
        system_prompt=stored.get("system_prompt"),
        tools=tuple(stored.get("tools") or ()),
        approve_tools=tuple(stored.get("approve_tools") or ()),
        knowledge_base_ids=tuple(UUID(each) for each in stored.get("knowledge_base_ids") or ()),
        max_iterations=stored.get("max_iterations") or 15,
        temperature=stored.get("temperature"),
        max_tokens=stored.get("max_tokens"),
        allow_delegation=bool(stored.get("allow_delegation")),
    )


def _tool(name: str, stored: Any) -> ToolSpec:
    return ToolSpec(
        name=name,
        description=stored["description"],
        parameters=stored["parameters"],
        effect=Effect(stored["effect"]),
        needs_approval=bool(stored.get("needs_approval")),
    )
