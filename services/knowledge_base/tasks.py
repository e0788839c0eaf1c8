"""Executions of kind `ingestion`: a document is processed, vectors of what was deleted are removed, an index is built,
words are indexed anew, all of it is checked, a summary is written. And those of kind `evaluation`."""

# Here, in a worker's first moment and thread: it brings numpy, which must not be imported by two threads at once, and
# a worker loads its agent library, which wants numpy too, in another.
import shared.llm.embeddings as _embeddings
from services.knowledge_base import purges
from services.knowledge_base.consistency import check
from services.knowledge_base.evaluation.job import evaluate
from services.knowledge_base.indexes import changes
from services.knowledge_base.indexes.building import Building
from services.knowledge_base.indexes.words import index_words
from services.knowledge_base.ingestion.ingest import Ingestion
from services.knowledge_base.summaries import sweep as summaries
from services.knowledge_base.summaries.write import summarise
from shared.executions.jobs import JobContext, job
from shared.kit.json import Json
from shared.workflow.states import ExecutionKind

__all__ = ["_embeddings", "evaluate", "ingest"]


@job(ExecutionKind.INGESTION)
async def ingest(context: JobContext) -> Json:
    match context.spec.get("action"):
        case purges.ACTION:
            return await purges.purge(context)
        case changes.BUILD:
            return await Building(context).run()
        case changes.WORDS:
            return await index_words(context)
        case check.ACTION:
            return await check.check(context)
        case summaries.ACTION:
            return await summarise(context)
        case _:
            return await Ingestion(context).run()
