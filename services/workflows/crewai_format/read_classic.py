"""The classic format: `agents.yaml` and `tasks.yaml`. What `crew.py` would add must come with the request."""

from services.workflows.crewai_format.errors import Fault
from services.workflows.crewai_format.files import ClassicFiles, File
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask
from services.workflows.crewai_format.read_parts import read_agent, read_task
from services.workflows.crewai_format.reader import Entry, Reader
from services.workflows.crewai_format.report import Report
from services.workflows.crewai_format.yaml_tree import parse_yaml

_CONFIG_FOLDERS = {"config", "src", ""}


def read_classic(files: ClassicFiles, report: Report, faults: list[Fault]) -> CrewProject:
    return CrewProject(
        name=_name_from_folders(files.agents.name),
        agents=_read_agents(files.agents, report, faults),
        tasks=_read_tasks(files.tasks, report, faults),
    )


def _read_agents(file: File, report: Report, faults: list[Fault]) -> tuple[CrewAgent, ...]:
    reader = Reader(file.name, report, faults)
    return tuple(read_agent(reader, key, entry) for key, entry in _entries(reader, file, "agents"))


def _read_tasks(file: File, report: Report, faults: list[Fault]) -> tuple[CrewTask, ...]:
    reader = Reader(file.name, report, faults)
    tasks: list[CrewTask] = []
    for key, entry in _entries(reader, file, "tasks"):
        tasks.append(read_task(reader, key, entry, {task.key for task in tasks}))
    return tuple(tasks)


def _entries(reader: Reader, file: File, what: str) -> list[tuple[str, Entry]]:
    root = reader.entry(parse_yaml(file.text, file.name), what)
    return [
        (reader.key(key, what, node.line), reader.entry(node, f"{what}.{key}")) for key, node in root.fields.items()
    ]


def _name_from_folders(name: str) -> str | None:
    """`src/game_builder/config/agents.yaml` belongs to a project called `game_builder`."""
    folders = name.replace("\\", "/").split("/")[:-1]
    return next((folder for folder in reversed(folders) if folder not in _CONFIG_FOLDERS), None)
