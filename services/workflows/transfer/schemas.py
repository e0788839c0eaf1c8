from enum import StrEnum
from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from services.workflows.crewai_format.files import MAX_FILES, MAX_NAME_CHARACTERS
from services.workflows.crewai_format.report import Code
from services.workflows.schemas import GraphJson, WorkflowSaved
from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Text, Verbatim

# Blank lines at the beginning of a file count: errors name lines. The files are checked where they are read.
Content = Annotated[str, StringConstraints(strip_whitespace=False)]
FileName = Annotated[Verbatim, StringConstraints(max_length=MAX_NAME_CHARACTERS)]
Words = Annotated[LongText, StringConstraints(min_length=1)]


class TransferFormat(StrEnum):
    """`json` is our own: it carries everything. The others are crewAI's two ways to write a crew."""

    JSON = "json"
    CREWAI_YAML = "crewai_yaml"
    CREWAI_JSONC = "crewai_jsonc"


class ImportRequest(RequestModel):
    """`files` are texts by name; names say what a file is and are never used as paths."""

    files: dict[FileName, Content] = Field(min_length=1, max_length=MAX_FILES)
    format: TransferFormat | None = Field(default=None, description="Found out from the files if not given.")
    bindings: dict[str, str] = Field(
        default={}, max_length=200, description="Which agent does which task, where crew.py says it and not the YAML."
    )
    model_id: UUID | None = Field(
        default=None, description="For agents whose own model is not known here. If not given: the tenant's default."
    )
    name: Name | None = None


class ReportItem(ResponseModel):
    """`where` is a path such as `tasks.research.output_file`."""

    code: Code
    where: str
    message: str
    file: str | None
    line: int | None


class ReportOut(ResponseModel):
    """What became of everything in the project."""

    mapped: list[ReportItem]
    ignored: list[ReportItem]
    missing: list[ReportItem]


class ImportedAgent(ResponseModel):
    """`key` is the agent's name in the project, `name` that in the tenant's pool."""

    key: str
    id: UUID
    name: str


class ImportOut(ResponseModel):
    workflow: WorkflowSaved
    agents: list[ImportedAgent]
    report: ReportOut


class ExportOut(ResponseModel):
    """`files` can be sent to the import as they are."""

    format: TransferFormat
    files: dict[str, str]
    report: ReportOut


# --- our own format ---------------------------------------------------------------------------------------


OWN_FORMAT: Final = "quarterdeck.workflow/1"


class CarriedModel(RequestModel):
    """Names a model, so that the other tenant's own of that name can take its place. Holds no key and no address."""

    name: Name
    provider: Name
    model: Name


class CarriedKnowledgeBase(RequestModel):
    name: Name


class CarriedConnection(RequestModel):
    """Names a connection, so that the other tenant's own of that name and host can take its place."""

    name: Name
    host: Name


class CarriedAgent(RequestModel):
    name: Name
    description: LongText = ""
    role: Words
    goal: Words
    backstory: LongText = ""
    system_prompt: Words | None = None
    model_id: UUID
    tools: list[Name] = Field(default=[], max_length=50)
    approve_tools: list[Name] = Field(default=[], max_length=50)
    knowledge_base_ids: list[UUID] = Field(default=[], max_length=20)
    temperature: float | None = Field(default=None, ge=0, le=2)
    max_tokens: int | None = Field(default=None, ge=1, le=1_000_000)
    max_iterations: int = Field(default=15, ge=1, le=100)
    allow_delegation: bool = False
    suggested_prompts: list[Annotated[Text, StringConstraints(max_length=500)]] = Field(default=[], max_length=10)


class WorkflowFile(RequestModel):
    """A workflow with all it needs but documents, keys and models. Ids only tie the parts of the file together."""

    format: Literal["quarterdeck.workflow/1"]
    name: Name
    description: LongText = ""
    graph: GraphJson
    agents: dict[UUID, CarriedAgent] = Field(default={}, max_length=500)
    models: dict[UUID, CarriedModel] = Field(default={}, max_length=500)
    knowledge_bases: dict[UUID, CarriedKnowledgeBase] = Field(default={}, max_length=500)
    connections: dict[UUID, CarriedConnection] = Field(default={}, max_length=500)
