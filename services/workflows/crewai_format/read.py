"""Reads a crewAI project from named texts. Opens no file, imports nothing, calls nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.files import ProjectFiles
from services.workflows.crewai_format.project import CrewProject
from services.workflows.crewai_format.read_classic import read_classic
from services.workflows.crewai_format.read_jsonc import read_jsonc
from services.workflows.crewai_format.report import Code, Item, Report, placed

MAX_AGENTS = 50
MAX_TASKS = 100
_MAX_FAULTS = 50


class Format(StrEnum):
    CLASSIC = "crewai_yaml"
    JSONC = "crewai_jsonc"


@dataclass(frozen=True, slots=True)
class Reading:
    project: CrewProject
    format: Format
    report: Report


def read_project(files: Mapping[str, str], format: Format | None = None) -> Reading:
    """The crew in `files` (name -> text), in the format given or whichever is found, `crew.jsonc` first.

    Raises `ProjectError` with every fault that could be found, each with its file and line.
    """
    found = ProjectFiles(files)
    report, faults = Report(), list[Fault]()
    json = None if format is Format.CLASSIC else found.json()
    classic = None if format is Format.JSONC or json is not None else found.classic()
    if json is not None:
        project, used, read = read_jsonc(json, report, faults), Format.JSONC, 1 + len(json.agents)
    elif classic is not None:
        project, used, read = read_classic(classic, report, faults), Format.CLASSIC, 2
    else:
        raise ProjectError(Fault(_nothing_found(format)))
    faults += _size_faults(project)
    if faults:
        raise ProjectError(*faults[:_MAX_FAULTS])
    _report_parts(project, report)
    if len(found) > read:
        message = f"{len(found) - read} other files were not read; Python code never is"
        report.ignored.append(Item(Code.FILES_NOT_READ, "files", message))
    return Reading(project, used, report)


def _nothing_found(format: Format | None) -> str:
    wanted = {
        Format.CLASSIC: "agents.yaml and tasks.yaml in one folder",
        Format.JSONC: "crew.jsonc",
        None: "crew.jsonc, or agents.yaml and tasks.yaml in one folder",
    }
    return f"no crewAI project was found: it needs {wanted[format]}"


def _size_faults(project: CrewProject) -> list[Fault]:
    sizes = (("agents", len(project.agents), MAX_AGENTS), ("tasks", len(project.tasks), MAX_TASKS))
    return [
        Fault(f"a crew has 1 to {most} {what}; this one has {count}")
        for what, count, most in sizes
        if not 1 <= count <= most
    ]


def _report_parts(project: CrewProject, report: Report) -> None:
    for agent in project.everyone():
        message = "becomes the crew's manager" if agent is project.manager else "becomes an agent"
        report.mapped.append(placed(Code.AGENT, f"agents.{agent.key}", message, agent.place))
    for task in project.tasks:
        report.mapped.append(placed(Code.TASK, f"tasks.{task.key}", "becomes a task of the crew", task.place))
