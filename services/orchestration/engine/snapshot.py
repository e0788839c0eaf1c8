"""The agents, models and tools as they were when the execution was submitted."""

from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import AgentPlan, Child, Effect, StepFailed, ToolSpec
from shared.kit.json import JsonObject
from shared.workflow.children import ChildInvalid, child_of, workflow_key


class Snapshot:
    def __init__(self, spec: JsonObject) -> None:
        self._spec = spec
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

    def child(self, workflow_id: UUID, version: int | None, inputs: JsonObject) -> Child:
        """An execution of a workflow that was pinned when this one was submitted."""
        key = workflow_key(workflow_id, version or 0)
        try:
            spec, filled = child_of(self._spec, key, inputs)
        except KeyError:
            message = f"workflow {workflow_id} is not in the execution's snapshot: submit it again"
            raise StepFailed(message, code="workflow_missing", retryable=False) from None
        except ChildInvalid as broken:
            raise StepFailed(f"inputs: {broken}", code="child_inputs_invalid", retryable=False) from None
        return Child(
            name=spec["workflow_name"],
            spec=spec,
            inputs=filled,
            workflow_id=workflow_id,
            workflow_version=spec["version"],
        )

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
        knowledge=tuple(stored.get("knowledge") or ()),
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
