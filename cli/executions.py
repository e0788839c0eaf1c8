"""Start an execution, watch it, and say how it went: what `run` and `demo` share."""

import functools
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from rich.console import Console

from cli.api import Api
from cli.errors import ApiFailure, ExitCode
from cli.view import ExecutionView


@dataclass(frozen=True)
class Outcome:
    """How an execution ended, in the shape that `--json` prints."""

    execution_id: str
    status: str
    output: Any
    steps: list[dict[str, Any]]
    tokens: dict[str, int]
    duration_ms: int | None
    error: Any = None

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.SUCCEEDED if self.status == "succeeded" else ExitCode.FAILED

    def as_json(self) -> dict[str, Any]:
        """`error` only when there is one."""
        return {name: value for name, value in asdict(self).items() if name != "error" or value is not None}


def start(api: Api, workflow_id: str, inputs: dict[str, Any]) -> str:
    """The id of the new execution. Sent again after a lost connection, it is still one execution."""
    answer = api.post(f"/workflows/{workflow_id}/execute", {"inputs": inputs}, idempotency_key=str(uuid4()))
    return str(answer["id"])


def watch(api: Api, execution_id: str, view: ExecutionView | None) -> Outcome:
    """Follow an execution to its end."""
    for event in api.events(execution_id):
        if view is not None:
            view.show(event)
    return outcome(api, execution_id)


def view_on(api: Api, console: Console) -> ExecutionView:
    """A view that asks the API for what events name by id only."""

    @functools.cache
    def agent_name(agent_id: str) -> str:
        try:
            return str(api.get(f"/agents/{agent_id}")["name"])
        except ApiFailure:  # deleted meanwhile
            return "agent"

    return ExecutionView(console, agent_name)


def outcome(api: Api, execution_id: str) -> Outcome:
    """How the execution stands according to the ledger."""
    execution = api.get(f"/executions/{execution_id}")
    steps = [
        {name: step[name] for name in ("node", "type", "status", "attempt", "duration_ms")}
        for step in execution["steps"]
    ]
    return Outcome(
        execution_id=execution["id"],
        status=execution["status"],
        output=execution["output"],
        steps=steps,
        tokens={"input": execution["input_tokens"], "output": execution["output_tokens"]},
        duration_ms=execution["duration_ms"],
        error=execution["error"],
    )
