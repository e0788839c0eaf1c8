"""Executions of kind `ingestion`: a document is processed, or vectors of what was deleted are removed."""

from services.knowledge_base import purges
from services.knowledge_base.ingestion.ingest import Ingestion
from shared.executions.jobs import JobContext, job
from shared.executions.statuses import ExecutionKind
from shared.kit.json import Json


@job(ExecutionKind.INGESTION)
async def ingest(context: JobContext) -> Json:
    if context.spec.get("action") == purges.ACTION:
        return await purges.purge(context)
    return await Ingestion(context).run()
