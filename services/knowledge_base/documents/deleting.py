from collections.abc import Sequence

from services.knowledge_base import purges
from services.knowledge_base.documents import repository
from shared.auth.principal import Principal
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring


async def delete_documents(
    session: WriteSession, caller: Principal, name: str, going: Sequence[Document], ring: Ring
) -> None:
    """Locked, with what archives among them hold. They are found no more once this has committed."""
    await repository.delete_documents(session, [document.id for document in going])
    for document in going:
        purges.note(session, document.tenant_id, document.knowledge_base_id, document_id=document.id)
    await purges.submit_purge(session, caller.tenant_id, f"Forget {name}", ring, created_by=caller.user_id)
