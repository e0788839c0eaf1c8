"""Work on documents and knowledge bases that takes time: an execution in the lane of ingestions."""

from uuid import UUID

from shared.database.session import WriteSession
from shared.database.tables.ledger import ExecutionRow
from shared.executions.submit import Ring, Submission, submit
from shared.kit.json import JsonObject
from shared.web.context import correlation_id
from shared.workflow.states import ExecutionKind, Lane


async def submit_work(
    session: WriteSession,
    ring: Ring,
    *,
    tenant_id: UUID,
    name: str,
    spec: JsonObject,
    created_by: UUID | None,
    kind: ExecutionKind = ExecutionKind.INGESTION,
    inputs: JsonObject | None = None,
    key: str | None = None,
    request: JsonObject | None = None,
) -> ExecutionRow:
    """As `submit`, of which this is the form that all of this service's work has."""
    submission = Submission(
        tenant_id=tenant_id,
        kind=kind,
        lane=Lane.INGESTION,
        name=name,
        spec=spec,
        inputs=inputs or {},
        created_by=created_by,
        correlation_id=correlation_id(),
        idempotency_key=key,
        request=request,
    )
    return await submit(session, submission, ring)
