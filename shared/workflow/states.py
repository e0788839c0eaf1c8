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
    REPLAY = "replay"
    EVALUATION = "evaluation"  # of a knowledge base: questions are made, or measured


class Origin(StrEnum):
    """Why an execution was made of another one."""

    RERUN = "rerun"
    RETRY = "retry"
    FORK = "fork"

    @property
    def keeps_records(self) -> bool:
        """Whether steps and calls of the other one are on record in it."""
        return self is not Origin.RERUN


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
    EMBEDDING = "embedding"
    TOOL = "tool"
    KNOWLEDGE = "knowledge"
    HTTP = "http"
    CODE = "code"


class Effect(StrEnum):
    """`read` may repeat; `idempotent` repeats with the same key; `once` is never made twice."""

    READ = "read"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class CallStatus(StrEnum):
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class WaitKind(StrEnum):
    """What a step waits for. All but a timer and a child execution are inbox items, which a person answers."""

    APPROVAL = "approval"
    QUESTION = "question"
    TOOL_APPROVAL = "tool_approval"
    CALL_IN_DOUBT = "call_in_doubt"
    BUDGET = "budget"
    TIMER = "timer"
    CHILD = "child"

    @property
    def asks_a_person(self) -> bool:
        return self not in (WaitKind.TIMER, WaitKind.CHILD)


class WaitStatus(StrEnum):
    """`open` until one of the others, once: answered, past its time, or of an execution that has ended."""

    OPEN = "open"
    ANSWERED = "answered"
    EXPIRED = "expired"
    CLOSED = "closed"


class Action(StrEnum):
    """How a person settles an inbox item."""

    ACCEPT = "accept"
    EDIT = "edit"
    IGNORE = "ignore"
    RESPOND = "respond"
