"""A crew as all of crewAI's formats mean it. Texts hold crewAI's own `{placeholder}`s."""

from dataclasses import dataclass, field
from enum import StrEnum

from shared.kit.json import Json, JsonObject


class Process(StrEnum):
    SEQUENTIAL = "sequential"
    HIERARCHICAL = "hierarchical"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the files something was said. Two crews are equal wherever they were said."""

    file: str
    line: int


@dataclass(frozen=True, slots=True)
class CrewAgent:
    """`tools` and `llm` are names, to be looked up by whoever imports the crew."""

    key: str
    role: str
    goal: str
    backstory: str
    tools: tuple[str, ...] = ()
    llm: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    max_iterations: int | None = None
    allow_delegation: bool = False
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CrewTask:
    """`context=None` means the outputs of all tasks before this one."""

    key: str
    description: str
    expected_output: str
    agent: str | None = None
    context: tuple[str, ...] | None = None
    tools: tuple[str, ...] = ()
    output_schema: JsonObject | None = None
    markdown: bool = False
    place: Place | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class CrewProject:
    """`manager` is not among `agents`. `inputs` are defaults; placeholders without one must be given."""

    name: str | None
    agents: tuple[CrewAgent, ...]
    tasks: tuple[CrewTask, ...]
    process: Process = Process.SEQUENTIAL
    manager: CrewAgent | None = None
    manager_llm: str | None = None
    inputs: dict[str, Json] = field(default_factory=dict[str, Json])

    def everyone(self) -> tuple[CrewAgent, ...]:
        return self.agents if self.manager is None else (*self.agents, self.manager)
