"""Agents and tasks: the fields that all of crewAI's formats share."""

from dataclasses import dataclass

from services.workflows.crewai_format import fields
from services.workflows.crewai_format.project import CrewAgent, CrewTask
from services.workflows.crewai_format.reader import MAX_NAME_CHARACTERS, Entry, Reader, names_python
from services.workflows.crewai_format.report import Code
from services.workflows.crewai_format.tree import Node

_AGENT_READ = {"role", "goal", "backstory", "tools", "llm", "max_iter", "max_tokens", "allow_delegation"}
_TASK_READ = {"name", "description", "expected_output", "agent", "context", "tools", "markdown"}
_OUTPUT_CLASSES = ("output_pydantic", "output_json", "response_model")
_AGENT_TYPES = {"agent", "Agent", "crewai.Agent", "crewai.agent.core.Agent"}
_TASK_TYPES = {"task", "Task", "crewai.Task", "crewai.task.Task"}
_TOOL_PACKAGE = "crewai_tools"


def read_agent(reader: Reader, key: str, entry: Entry) -> CrewAgent:
    llm = _read_llm(reader, entry)
    reader.leave_out(entry, _AGENT_READ | _plain_type(entry, _AGENT_TYPES), fields.AGENT)
    return CrewAgent(
        key=key,
        role=reader.text(entry, "role"),
        goal=reader.text(entry, "goal"),
        backstory=reader.text(entry, "backstory"),
        tools=_read_tools(reader, entry),
        llm=llm.name,
        temperature=llm.temperature,
        max_tokens=llm.max_tokens or reader.count(entry, "max_tokens"),
        max_iterations=reader.count(entry, "max_iter"),
        allow_delegation=reader.flag(entry, "allow_delegation"),
        place=reader.place(entry.line),
    )


def read_task(reader: Reader, key: str, entry: Entry, earlier: set[str]) -> CrewTask:
    """`earlier` are the tasks that `context` may name."""
    read = _TASK_READ | _plain_type(entry, _TASK_TYPES) | set(_OUTPUT_CLASSES)
    reader.leave_out(entry, read, fields.TASK)
    return CrewTask(
        key=key,
        description=reader.text(entry, "description"),
        expected_output=reader.text(entry, "expected_output"),
        agent=reader.name(entry, "agent"),
        context=_read_context(reader, entry, earlier),
        tools=_read_tools(reader, entry),
        output_schema=_read_output_schema(reader, entry),
        markdown=reader.flag(entry, "markdown"),
        place=reader.place(entry.line),
    )


@dataclass(frozen=True, slots=True)
class _Llm:
    name: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None


def read_llm_name(reader: Reader, entry: Entry, name: str) -> str | None:
    """A model by name, at crew level, where only the name counts."""
    return _read_llm(reader, entry, name).name


def _read_llm(reader: Reader, entry: Entry, name: str = "llm") -> _Llm:
    node = entry.fields.get(name)
    if node is None or not isinstance(node.value, dict):
        return _Llm(reader.name(entry, name))
    if names_python(node):
        reader.ignore(Code.UNSAFE, f"{entry.where}.{name}", "it names Python code, which is never loaded", node.line)
        return _Llm()
    llm = Entry(f"{entry.where}.{name}", node.line, node.value)
    reader.leave_out(llm, {"model", "temperature", "max_tokens"}, fields.LLM)
    return _Llm(reader.name(llm, "model"), reader.temperature(llm, "temperature"), reader.count(llm, "max_tokens"))


def _read_tools(reader: Reader, entry: Entry) -> tuple[str, ...]:
    names = [_tool_name(reader, node, f"{entry.where}.tools") for node in reader.items(entry, "tools")]
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _tool_name(reader: Reader, node: Node, where: str) -> str | None:
    if not isinstance(node.value, str):
        reader.ignore(Code.UNSAFE, where, "a tool given as an object would load Python code", node.line)
        return None
    if len(node.value) > MAX_NAME_CHARACTERS:
        reader.fault(f"{where}: a name has more than {MAX_NAME_CHARACTERS} characters", node.line)
        return None
    module, colon, name = node.value.strip().rpartition(":")
    if not colon or module == _TOOL_PACKAGE:
        return name or None
    why = (
        "a platform tool reaches another service, which only an administrator may connect"
        if module == "platform"
        else f"the tool '{name}' is the project's own Python code, which is never loaded"
    )
    reader.ignore(Code.UNSAFE, where, why, node.line)
    return None


def _read_context(reader: Reader, entry: Entry, earlier: set[str]) -> tuple[str, ...] | None:
    if "context" not in entry.fields:
        return None
    names: list[str] = []
    for node in reader.items(entry, "context"):
        if isinstance(node.value, str) and node.value.strip() in earlier:
            names.append(node.value.strip())
        else:
            named = f"'{node.value}'" if isinstance(node.value, str) else "an item"
            reader.fault(f"{entry.where}.context: {named} names no task before this one", node.line)
    return tuple(dict.fromkeys(names))


def _read_output_schema(reader: Reader, entry: Entry) -> dict[str, object] | None:
    """A JSON schema can be carried over; a class is a name of Python code and cannot."""
    schema: dict[str, object] | None = None
    for name in _OUTPUT_CLASSES:
        node = entry.fields.get(name)
        if node is None or node.value is None:
            continue
        if isinstance(node.value, dict) and "python" not in node.value:
            schema = schema or {key: value.plain() for key, value in node.value.items()}
            continue
        reader.miss(
            Code.OUTPUT_CLASS_MISSING,
            f"{entry.where}.{name}",
            "the output's form is a Python class, which is never loaded; the task answers with text. "
            "Give the task an output schema to have it back",
            node.line,
        )
    return schema


def _plain_type(entry: Entry, aliases: set[str]) -> set[str]:
    """`type` needs no word in the report when it names what everything is by default."""
    node = entry.fields.get("type")
    return {"type"} if node is not None and isinstance(node.value, str) and node.value in aliases else set()
