"""Tools, knowledge, requests and code."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from services.orchestration.engine.ports.models import ToolSpec, Usage
from shared.kit.json import Json, JsonObject
from shared.workflow.states import Effect


@dataclass(frozen=True, slots=True)
class Passage:
    knowledge_base_id: UUID
    document_id: UUID
    document_name: str
    chunk_id: UUID
    text: str
    score: float
    page: int | None
    start: int
    end: int
    headings: tuple[str, ...] = ()
    part: str | None = None
    page_end: int | None = None


@dataclass(frozen=True, slots=True)
class KnowledgeRequest:
    """`mode` is `vector`, `keyword` or `hybrid`. `agent_id` is who asks: an agent finds what all may find and what
    it alone may find."""

    knowledge_base_ids: tuple[UUID, ...]
    query: str
    top_k: int = 5
    mode: str = "hybrid"
    tags: tuple[str, ...] = ()
    document_ids: tuple[UUID, ...] = ()
    min_score: float = 0.0
    rerank_model_id: UUID | None = None
    agent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Best first. `warnings` say what was done without."""

    passages: tuple[Passage, ...]
    usage: Usage = field(default_factory=Usage)
    warnings: tuple[str, ...] = ()


class Knowledge(Protocol):
    async def search(self, tenant_id: UUID, request: KnowledgeRequest) -> Found: ...


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of its caller. `idempotency_key` is the same whenever this call is repeated.

    `definition` is the snapshot's, of a tool of the tenant's own. An agent is told in words what it asked wrongly;
    a node, which has no `agent_id`, gets a `CallFailed`.
    """

    tenant_id: UUID
    execution_id: UUID
    knowledge_base_ids: Sequence[UUID]
    idempotency_key: str
    definition: JsonObject | None = None
    agent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ToolReply:
    text: str
    usage: Usage = field(default_factory=Usage)


class Tools(Protocol):
    """The tools there are: those that come with the product, which `describe` knows, and those that the context of
    the call defines. An unknown name raises `CallFailed` with code `tool_unknown`."""

    def describe(self, name: str) -> ToolSpec: ...

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolReply: ...


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`connection_id` names a credential of the tenant's, which is bound to its host. `body` is text or JSON. With
    `fail_on_status` an answer of status 400 and up is a failure of the call."""

    method: str
    url: str
    headers: JsonObject
    body: Json
    effect: Effect
    timeout: float
    max_bytes: int
    connection_id: UUID | None = None
    fail_on_status: bool = False


@dataclass(frozen=True, slots=True)
class HttpReply:
    """`data` is the body when it is JSON, `text` is it always."""

    status: int
    headers: JsonObject
    text: str
    data: Json = None


class Http(Protocol):
    """Requests to the outside, through `shared/net`. An answer with any status is an answer, unless the request says
    otherwise; raises `CallFailed` when there is none. `idempotency_key` is sent along unless the effect is `read`."""

    async def send(self, tenant_id: UUID, request: HttpRequest, idempotency_key: str) -> HttpReply: ...


@dataclass(frozen=True, slots=True)
class CodeRequest:
    """Python that defines `main(inputs)`; its answer is what that returns, as JSON."""

    source: str
    inputs: Json
    timeout: float
    memory_mb: int


@dataclass(frozen=True, slots=True)
class CodeReply:
    """`printed` is what the code wrote to its standard output and error, cut to measure."""

    value: Json
    printed: str


class Sandbox(Protocol):
    """Runs code apart from everything. Raises `CallFailed` with `sandbox_missing` where that is not possible."""

    async def run(self, request: CodeRequest) -> CodeReply: ...
