"""Trying an agent: an execution of a workflow with nothing in it but this agent."""

from collections.abc import Awaitable, Callable
from uuid import UUID

from services.agents import service
from services.agents.schemas import AgentTest
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.agents import Agent
from shared.executions.schemas import ExecutionSummary
from shared.executions.snapshot import snapshot_agent_job
from shared.executions.submit import Submission, find_submitted, submit
from shared.kit.json import JsonObject
from shared.web.context import correlation_id
from shared.workflow.states import ExecutionKind

_NODE = "agent"


async def start(
    session: WriteSession,
    caller: Principal,
    agent_id: UUID,
    request: AgentTest,
    idempotency_key: str | None,
    ring: Callable[[], Awaitable[None]],
) -> ExecutionSummary:
    """Queues the execution, or gives the one that was started with this key before."""
    asked: JsonObject = {"agent_id": str(agent_id), "input": request.input}
    row = await find_submitted(session, idempotency_key, ExecutionKind.AGENT_JOB, asked)
    if row is None:
        agent = await service.find(session, agent_id)
        snapshot = await snapshot_agent_job(session, _graph(agent), {"input": request.input}, name=agent.name)
        submission = Submission(
            tenant_id=caller.tenant_id,
            kind=ExecutionKind.AGENT_JOB,
            name=agent.name,
            spec=snapshot.spec,
            inputs=snapshot.inputs,
            created_by=caller.user_id,
            correlation_id=correlation_id(),
            agent_id=agent.id,
            idempotency_key=idempotency_key,
            request=asked,
        )
        row = await submit(session, submission, ring)
    return ExecutionSummary.model_validate(row)


def _graph(agent: Agent) -> JsonObject:
    return {
        "spec": 1,
        "inputs": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
        "nodes": [
            {
                "id": _NODE,
                "type": "agent_task",
                "name": agent.name,
                "config": {
                    "agent_id": str(agent.id),
                    "description": "{{ inputs.input }}",
                    "expected_output": "A complete answer to what was asked.",
                },
            }
        ],
        "edges": [],
        "outputs": {"text": f"nodes.{_NODE}.output.text", "citations": f"nodes.{_NODE}.output.citations"},
    }
