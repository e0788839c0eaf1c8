"""Which workflows name something, in their latest version, in bodies too: whoever would take it away asks first."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import cast, func, select
from sqlalchemy.dialects.postgresql import JSONPATH

from shared.database.session import ReadSession
from shared.database.tables.workflows import Workflow, WorkflowVersion


async def workflows_naming(
    session: ReadSession, path: str, named: UUID | str, limit: int
) -> Sequence[tuple[UUID, str]]:
    """Ids and names of the first ones, by name. `path` is a JSON path to the graph's places, with `$named` in it."""
    latest = (Workflow.id == WorkflowVersion.workflow_id) & (Workflow.latest_version == WorkflowVersion.version)
    variables = func.jsonb_build_object("named", str(named))
    statement = (
        select(Workflow.id, Workflow.name)
        .join(WorkflowVersion, latest)
        .where(func.jsonb_path_exists(WorkflowVersion.graph, cast(path, JSONPATH), variables))
        .order_by(Workflow.name, Workflow.id)
        .limit(limit)
    )
    return [(id_, name) for id_, name in await session.execute(statement)]
