"""Executions of kind `ingestion`: a document is processed, or vectors of what was deleted are removed. And those of
kind `evaluation`."""

# Here, in a worker's first moment and thread: it brings numpy, which must not be imported by two threads at once, and
# a worker loads its agent library, which wants numpy too, in another.
import shared.llm.embeddings as _embeddings
from services.knowledge_base import purges
from services.knowledge_base.evaluation.job import evaluate
from services.knowledge_base.ingestion.ingest import Ingestion
from shared.executions.jobs import JobContext, job
from shared.kit.json import Json
from shared.workflow.states import ExecutionKind

__all__ = ["_embeddings", "evaluate", "ingest"]


@job(ExecutionKind.INGESTION)
async def ingest(context: JobContext) -> Json:
    if context.spec.get("action") == purges.ACTION:
        return await purges.purge(context)
    return await Ingestion(context).run()
