from collections.abc import Sequence

from services.knowledge_base import purges
from services.knowledge_base.documents import repository
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring


async def delete_documents(session: WriteSession, caller: Principal, documents: Sequence[Document], ring: Ring) -> None:
    """With what archives among them hold. They are locked, and found no more once this has committed."""
    held = await repository.lock_children(session, [document.id for document in documents])
    going = {document.id: document for document in (*documents, *held)}
    await repository.delete_documents(session, list(going))
    for document in going.values():
        purges.note(session, document.tenant_id, document.knowledge_base_id, document_id=document.id)
    name = documents[0].name if len(documents) == 1 else f"{len(documents)} documents"
    await purges.submit_purge(session, caller.tenant_id, f"Forget {name}", ring, created_by=caller.user_id)
