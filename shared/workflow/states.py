"""The words of the ledger: what states there are, for the engine, the database and the API alike."""

from enum import StrEnum


class ExecutionStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in _ENDS


_ENDS = frozenset((ExecutionStatus.SUCCEEDED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED))


class ExecutionKind(StrEnum):
    WORKFLOW = "workflow"
    AGENT_JOB = "agent_job"
    INGESTION = "ingestion"


class Lane(StrEnum):
    """Queues of their own, so that a flood of documents does not hold up those who wait for an answer."""

    DEFAULT = "default"
    INGESTION = "ingestion"


class StepStatus(StrEnum):
    RUNNING = "running"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class CallKind(StrEnum):
    LLM = "llm"
    TOOL = "tool"
    KNOWLEDGE = "knowledge"
    HTTP = "http"


class Effect(StrEnum):
    """`read` may repeat; `idempotent` repeats with the same key; `once` is never made twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class CallStatus(StrEnum):
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
