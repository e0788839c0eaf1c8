"""Writes a crew in crewAI's formats: file name -> text, and a report of what the format cannot say."""

import json
from typing import Any

import yaml

from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Process
from services.workflows.crewai_format.read import Format
from services.workflows.crewai_format.report import Code, Item, Report
from shared.kit.json import Json, JsonObject

_DUMPER: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})


def _represent_text(dumper: Any, text: str) -> Any:
    """Texts of several lines as people write them, `|`."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_DUMPER.add_representer(str, _represent_text)


def write_project(project: CrewProject, format: Format, report: Report) -> dict[str, str]:
    return _write_classic(project, report) if format is Format.CLASSIC else _write_jsonc(project)


def _write_classic(project: CrewProject, report: Report) -> dict[str, str]:
    losses = [*_crew_losses(project), *_agent_losses(project), *_task_losses(project)]
    report.ignored += [Item(Code.UNSUPPORTED, where, f"left out: {why}") for where, why in losses]
    agents = {agent.key: _agent(agent) for agent in project.everyone()}
    tasks = {task.key: _task(task) for task in project.tasks}
    return {"config/agents.yaml": _yaml(agents), "config/tasks.yaml": _yaml(tasks)}


def _crew_losses(project: CrewProject) -> list[tuple[str, str]]:
    in_code = "the YAML files cannot say it; write it in crew.py"
    losses: list[tuple[str, str]] = []
    if project.process is not Process.SEQUENTIAL:
        losses.append(("crew.process", in_code))
    if project.manager is not None:
        losses.append(("crew.manager_agent", in_code))
    if project.manager_llm is not None:
        losses.append(("crew.manager_llm", in_code))
    return losses + [(f"inputs.{name}.default", in_code) for name in project.inputs]


def _agent_losses(project: CrewProject) -> list[tuple[str, str]]:
    return [
        (f"agents.{agent.key}.temperature", "the YAML files have no settings of a model")
        for agent in project.everyone()
        if agent.temperature is not None
    ]


def _task_losses(project: CrewProject) -> list[tuple[str, str]]:
    return [
        (f"tasks.{task.key}.output_schema", "in the YAML files the form of an output is a Python class")
        for task in project.tasks
        if task.output_schema is not None
    ]


def _agent(agent: CrewAgent) -> JsonObject:
    fields: JsonObject = {"role": agent.role, "goal": agent.goal, "backstory": agent.backstory}
    optional: JsonObject = {
        "llm": agent.llm,
        "tools": list(agent.tools),
        "max_iter": agent.max_iterations,
        "max_tokens": agent.max_tokens,
        "allow_delegation": agent.allow_delegation,
    }
    return fields | _given(optional)


def _task(task: CrewTask) -> JsonObject:
    fields: JsonObject = {"description": task.description, "expected_output": task.expected_output}
    optional: JsonObject = {"agent": task.agent, "tools": list(task.tools), "markdown": task.markdown}
    if task.context is not None:
        fields["context"] = list(task.context)
    return fields | _given(optional)


def _write_jsonc(project: CrewProject) -> dict[str, str]:
    crew: JsonObject = {
        "name": project.name or "Crew",
        "agents": [agent.key for agent in project.agents],
        "tasks": [_json_task(task) for task in project.tasks],
        "process": project.process.value,
    }
    manager = None if project.manager is None else project.manager.key
    crew |= _given({"manager_agent": manager, "manager_llm": project.manager_llm, "inputs": project.inputs})
    files = {f"agents/{agent.key}.jsonc": _json(_json_agent(agent)) for agent in project.everyone()}
    return {"crew.jsonc": _json(crew), **files}


def _json_agent(agent: CrewAgent) -> JsonObject:
    fields = _agent(agent)
    if agent.temperature is not None:
        # crewAI sets a temperature on the model, and only on one that is named.
        fields["llm"] = _given({"model": agent.llm, "temperature": agent.temperature})
    return fields


def _json_task(task: CrewTask) -> JsonObject:
    fields: JsonObject = {"name": task.key, **_task(task)}
    return fields if task.output_schema is None else {**fields, "output_json": task.output_schema}


def _given(fields: JsonObject) -> JsonObject:
    return {name: value for name, value in fields.items() if value is not False and value not in (None, [], {})}


def _json(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _yaml(value: JsonObject) -> str:
    return yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=100)
