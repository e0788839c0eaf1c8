from typing import Annotated

from pydantic import Field

from shared.web.schemas import RequestModel, ResponseModel

Days = Annotated[int | None, Field(ge=1, le=36_500, description="Days from an execution's end; null keeps.")]


class ExecutionPolicyPut(RequestModel):
    """All of it: nothing is kept of the policy before."""

    max_running: Annotated[int | None, Field(ge=1, le=100_000, description="Null: as many as the operator allows.")]
    delta_days: Days
    event_days: Days
    call_days: Days
    output_days: Days
    execution_days: Days


class ExecutionPolicyOut(ResponseModel):
    """`max_running` is how many executions the tenant wants to run at once, within the operator's
    `max_running_allowed`. The rest is how many days after an execution's end it is that something is removed: streamed
    text and debug lines (`delta_days`), its stream but for the end (`event_days`), what calls asked and were answered
    (`call_days`), what steps were given and gave, and the stream with it (`output_days`), all of it with the
    executions below it (`execution_days`). Null keeps."""

    max_running: int | None
    max_running_allowed: int
    delta_days: int | None
    event_days: int | None
    call_days: int | None
    output_days: int | None
    execution_days: int | None
