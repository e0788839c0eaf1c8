"""crewAI's newer format: `crew.jsonc` with agents beside it in `agents/*.jsonc`, or inline."""

from services.workflows.crewai_format import fields
from services.workflows.crewai_format.errors import Fault
from services.workflows.crewai_format.files import File, JsonFiles
from services.workflows.crewai_format.jsonc_tree import parse_jsonc
from services.workflows.crewai_format.project import CrewAgent, CrewProject, CrewTask, Process
from services.workflows.crewai_format.read_parts import read_agent, read_llm_name, read_task
from services.workflows.crewai_format.reader import Entry, Reader, names_python
from services.workflows.crewai_format.report import Code, Report
from services.workflows.crewai_format.tree import Node
from shared.kit.json import Json

_CREW_READ = {"name", "agents", "tasks", "process", "inputs", "manager_agent", "manager_llm"}
_INLINE_READ = {"name"}


def read_jsonc(files: JsonFiles, report: Report, faults: list[Fault]) -> CrewProject:
    return _CrewReader(files, report, faults).project()


class _CrewReader:
    def __init__(self, files: JsonFiles, report: Report, faults: list[Fault]) -> None:
        self._files = files.agents
        self._report = report
        self._faults = faults
        self._reader = Reader(files.crew.name, report, faults)
        self._crew = self._reader.entry(parse_jsonc(files.crew.text, files.crew.name), "crew")

    def project(self) -> CrewProject:
        reader, crew = self._reader, self._crew
        reader.leave_out(crew, _CREW_READ, fields.CREW)
        bodies = self._inline_agents()
        manager = self._manager(bodies)
        keys = [key for key in bodies if manager is None or key != manager.key]
        return CrewProject(
            name=reader.name(crew, "name"),
            agents=tuple(self._agent(key, bodies[key]) for key in keys),
            tasks=self._tasks(),
            process=self._process(),
            manager=manager,
            manager_llm=read_llm_name(reader, crew, "manager_llm"),
            inputs=self._inputs(),
        )

    def _inline_agents(self) -> dict[str, Node]:
        """Agents by key; a text node where only the name is given and a file holds the rest."""
        node = self._crew.fields.get("agents")
        if node is not None and isinstance(node.value, dict):
            return {self._reader.key(key, "agents", body.line): body for key, body in node.value.items()}
        agents: dict[str, Node] = {}
        for item in self._reader.items(self._crew, "agents"):
            key, body = self._listed_agent(item)
            if key in agents:
                self._reader.fault(f"agents: '{key}' is given twice", item.line)
            agents[self._reader.key(key, "agents", item.line)] = body
        return agents

    def _listed_agent(self, item: Node) -> tuple[str, Node]:
        if isinstance(item.value, str):
            return item.value, item
        if isinstance(item.value, dict):
            name = item.value.get("name")
            if name is not None and isinstance(name.value, str):
                return name.value, item
            if name is None and len(item.value) == 1:
                return next(iter(item.value.items()))
        self._reader.fault("agents: an item must be an agent's name, or its fields with a name", item.line)
        return "?", item

    def _manager(self, bodies: dict[str, Node]) -> CrewAgent | None:
        node = self._crew.fields.get("manager_agent")
        if node is None or node.value is None:
            return None
        if names_python(node):
            why = "it names Python code, which is never loaded"
            self._reader.ignore(Code.UNSAFE, "crew.manager_agent", why, node.line)
            return None
        key = self._reader.text(self._crew, "manager_agent")
        return self._agent(key, bodies.get(key, Node(key, node.line))) if key else None

    def _agent(self, key: str, body: Node) -> CrewAgent:
        reader = self._reader
        if isinstance(body.value, str):
            file = self._files.get(key)
            if file is None:
                reader.fault(f"agents.{key}: there is no file agents/{key}.jsonc", body.line)
                return CrewAgent(key, "", "", "")
            reader, body = self._open(file)
        entry = reader.entry(body, f"agents.{key}")
        inline = {name: node for name, node in entry.fields.items() if name not in _INLINE_READ}
        return read_agent(reader, key, _with_settings(reader, Entry(entry.where, entry.line, inline)))

    def _open(self, file: File) -> tuple[Reader, Node]:
        return Reader(file.name, self._report, self._faults), parse_jsonc(file.text, file.name)

    def _tasks(self) -> tuple[CrewTask, ...]:
        tasks: list[CrewTask] = []
        for number, node in enumerate(self._reader.items(self._crew, "tasks"), 1):
            entry = self._reader.entry(node, f"tasks[{number}]")
            earlier = {task.key for task in tasks}
            key = self._reader.name(entry, "name") or _free_name(f"task_{number}", earlier)
            if key in earlier:
                self._reader.fault(f"tasks: '{key}' is given twice", node.line)
            self._reader.key(key, "tasks", node.line)
            entry = Entry(f"tasks.{key}", entry.line, entry.fields)
            tasks.append(read_task(self._reader, key, entry, earlier))
        return tuple(tasks)

    def _process(self) -> Process:
        node = self._crew.fields.get("process")
        if node is None or node.value is None:
            return Process.SEQUENTIAL
        for process in Process:
            if node.value == process.value:
                return process
        self._reader.fault("crew.process must be 'sequential' or 'hierarchical'", node.line)
        return Process.SEQUENTIAL

    def _inputs(self) -> dict[str, Json]:
        node = self._crew.fields.get("inputs")
        if node is None or node.value is None:
            return {}
        entry = self._reader.entry(node, "crew.inputs")
        for name, value in entry.fields.items():
            self._reader.key(name, "inputs", value.line)
        return {name: value.plain() for name, value in entry.fields.items()}


def _with_settings(reader: Reader, entry: Entry) -> Entry:
    """`settings` holds further fields of the agent, and wins over those beside it."""
    node = entry.fields.get("settings")
    if node is None or node.value is None:
        settings: dict[str, Node] = {}
    else:
        settings = reader.entry(node, f"{entry.where}.settings").fields
    own = {name: value for name, value in entry.fields.items() if name != "settings"}
    return Entry(entry.where, entry.line, {**own, **settings})


def _free_name(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
