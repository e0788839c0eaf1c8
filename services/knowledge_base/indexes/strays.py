"""Vectors of what is no chunk any more."""

from uuid import UUID

from services.knowledge_base.indexes import repository
from services.knowledge_base.ingestion.chunks import get_chunk_ids
from shared.database.session import Scope
from shared.web.resources import Resources


async def remove_strays(app: Resources, scope: Scope, knowledge_base_id: UUID, document_id: UUID) -> int:
    """Takes out of all indexes of the knowledge base what is no chunk of the document; gives the number.

    What Postgres has is read after what is indexed, so nothing that comes meanwhile is taken for a stray.
    """
    async with app.database.read(scope) as session:
        found = await repository.list_indexes(session, [knowledge_base_id])
    removed = 0
    for index_id in {knowledge_base_id, *(index.id for index in found)}:
        indexed = await app.vectors.chunk_ids(index_id, document_id)
        async with app.database.read(scope) as session:
            strays = indexed - await get_chunk_ids(session, document_id)
        await app.vectors.delete_chunks(index_id, strays)
        removed += len(strays)
    return removed
