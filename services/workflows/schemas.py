from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from shared.executions.schemas import BudgetGiven, ExecutionSummary, Priority
from shared.kit.json import JsonObject, canonical
from shared.kit.storable import storable
from shared.web.schemas import LongText, Name, RequestModel, ResponseModel, Timestamp
from shared.workflow.graph import Graph
from shared.workflow.problems import Severity
from shared.workflow.states import ExecutionStatus

MAX_GRAPH_BYTES = 1_000_000
_MAX_VERSION = 2**31 - 1


def _as_it_is(value: JsonObject) -> JsonObject:
    """A graph is kept to the letter or refused: unlike what runs produce, it can be corrected by who sent it."""
    if storable(value) is not value:
        raise ValueError("must not contain NUL characters, half surrogate pairs, huge numbers or endless nesting")
    if len(canonical(value)) > MAX_GRAPH_BYTES:
        raise ValueError(f"must not be larger than {MAX_GRAPH_BYTES:,} bytes")
    return value


class _DescribedAsGraph:
    """For the API's description: what is taken as it is and checked later is still a graph of spec version 1."""

    @classmethod
    def __get_pydantic_json_schema__(cls, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(Graph.__pydantic_core_schema__)


GraphJson = Annotated[dict[str, Any], AfterValidator(_as_it_is), _DescribedAsGraph]
VersionNumber = Annotated[int, Field(ge=1, le=_MAX_VERSION)]
MaxRunning = Annotated[
    int | None,
    Field(ge=1, le=10_000, description="How many of its executions run at once; null: as many as the tenant's may."),
]


class WorkflowSort(StrEnum):
    NEWEST = "-created_at"
    OLDEST = "created_at"
    NAME = "name"


class WorkflowCreate(RequestModel):
    name: Name
    description: LongText = ""
    graph: GraphJson
    max_running: MaxRunning = None


class WorkflowUpdate(RequestModel):
    """Takes the place of what there is. `version` is the one the change was made on; `note` says why."""

    name: Name
    description: LongText = ""
    graph: GraphJson
    max_running: MaxRunning = None
    note: LongText = ""
    version: VersionNumber | None = None


class ValidateRequest(RequestModel):
    """A graph to look at instead of a stored one, or the version to look at instead of the latest."""

    graph: GraphJson | None = None
    version: VersionNumber | None = None


class CloneRequest(RequestModel):
    name: Name | None = None


class ExecuteRequest(RequestModel):
    """`priority` counts among what the tenant has queued: the higher, the sooner."""

    inputs: JsonObject = Field(default_factory=dict)
    version: VersionNumber | None = None
    priority: Priority = 0
    budget: BudgetGiven | None = None


class ProblemOut(ResponseModel):
    """`node` is the node's id; `field` the path in its config, or in the graph where no node is named."""

    severity: Severity
    code: str
    message: str
    node: str | None
    field: str | None


class ValidationOut(ResponseModel):
    valid: bool
    problems: list[ProblemOut]


class WorkflowSummary(ResponseModel):
    id: UUID
    name: str
    description: str
    version: int
    max_running: MaxRunning
    created_by: UUID | None
    created_at: Timestamp
    updated_at: Timestamp


class WorkflowOut(WorkflowSummary):
    """`version` is that of `graph`; `latest_version` the one that a plain start runs."""

    latest_version: int
    graph: Annotated[JsonObject, _DescribedAsGraph]


class WorkflowSaved(WorkflowOut):
    """A workflow with problems is kept as it is; it just cannot run before they are gone."""

    valid: bool
    problems: list[ProblemOut]


class VersionOut(ResponseModel):
    version: int
    note: str
    created_by: UUID | None
    created_at: Timestamp


class WorkflowStatus(ResponseModel):
    """`executions` counts by status; a status that none has counts 0."""

    workflow_id: UUID
    version: int
    latest_execution: ExecutionSummary | None
    executions: dict[ExecutionStatus, int]
