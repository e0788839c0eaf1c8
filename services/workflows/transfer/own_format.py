"""Our own file of a workflow: the graph, the agents in it, and the names of what they need at another tenant."""

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.transfer.schemas import OWN_FORMAT, WorkflowFile
from shared.database.tables.agents import Agent
from shared.executions.pool import Pool
from shared.kit.json import JsonObject

FILE_NAME = "workflow.json"


def write_workflow(name: str, description: str, graph: JsonObject, pool: Pool) -> str:
    """Carries no key, no address, no document, and nothing of who made it."""
    content: JsonObject = {
        "format": OWN_FORMAT,
        "name": name,
        "description": description,
        "graph": graph,
        "agents": {str(agent.id): _carried(agent, pool) for agent in pool.agents.values()},
        "models": {
            str(model.id): {"name": model.name, "provider": model.provider, "model": model.model}
            for model in pool.models.values()
        },
        "knowledge_bases": {str(base.id): {"name": base.name} for base in pool.knowledge_bases.values()},
        "connections": {str(each.id): {"name": each.name, "host": each.host} for each in pool.connections.values()},
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _carried(agent: Agent, pool: Pool) -> JsonObject:
    return {
        "name": agent.name,
        "description": agent.description,
        "role": agent.role,
        "goal": agent.goal,
        "backstory": agent.backstory,
        "system_prompt": agent.system_prompt,
        "model_id": str(agent.model_id),
        "tools": agent.tools,
        "approve_tools": agent.approve_tools,
        "knowledge_base_ids": [str(i) for i in pool.agent_knowledge_bases.get(agent.id, ())],
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "max_iterations": agent.max_iterations,
        "allow_delegation": agent.allow_delegation,
        "suggested_prompts": agent.suggested_prompts,
    }


def find_workflow_file(files: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and text of the file that says it is one of ours."""
    for name, text in files.items():
        if name.lower().endswith(".json") and f'"{OWN_FORMAT}"' in text:
            return name, text
    return None


def read_workflow(name: str, text: str) -> WorkflowFile:
    """Raises `ProjectError`."""
    try:
        return WorkflowFile.model_validate(json.loads(text))
    except ValidationError as error:
        faults = [_fault(name, each["loc"], each["msg"]) for each in error.errors()]
        raise ProjectError(*faults[:50]) from None
    except (ValueError, RecursionError):
        raise ProjectError(Fault("is not valid JSON", name)) from None


def _fault(name: str, location: tuple[int | str, ...], message: str) -> Fault:
    return Fault(f"{'.'.join(map(str, location)) or 'the file'}: {message}", name)


def with_ids(value: Any, ids: Mapping[str, str]) -> Any:
    """A copy in which every string that is an id of the old tenant is that of the new one."""
    match value:
        case str():
            return ids.get(value, value)
        case dict():
            return {key: with_ids(each, ids) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType]
        case list():
            return [with_ids(each, ids) for each in value]  # pyright: ignore[reportUnknownVariableType]
        case _:
            return value


def id_map(*pairs: Mapping[UUID, UUID]) -> dict[str, str]:
    return {str(old): str(new) for mapping in pairs for old, new in mapping.items()}
