"""Pages that are to be fetched again: by whichever process sees first that they are due."""

from datetime import timedelta

from sqlalchemy import text

from services.knowledge_base.documents import processing
from services.knowledge_base.documents.service import require
from services.knowledge_base.documents.shape import is_open
from shared.auth.authenticator import acting_for
from shared.auth.permissions import Permission
from shared.database.session import Database, Scope
from shared.database.tables.knowledge import Document
from shared.executions.submit import Ring
from shared.kit.json import JsonObject
from shared.web.resources import Resources

_TAKE_DUE = text("SELECT * FROM knowledge_take_due_page()")
_AT_ONCE = 200
_BUSY_FOR = timedelta(minutes=5)
_FOR_NOBODY = (
    "The page is not fetched again: who asked for that has left, or may not change knowledge bases any more. "
    "Say again how often, and it is done for you."
)


async def sweep(app: Resources) -> int:
    """Submits a refresh of each page that is due, or ends it where nobody may ask for it any more; gives their
    number."""
    for count in range(_AT_ONCE):
        if not await refresh_next_due(app.database, app.doorbell.ring):
            return count
    return _AT_ONCE


async def refresh_next_due(database: Database, ring: Ring) -> bool:
    """Deals with the page that has been due the longest; False when there is none.

    The execution and the move to the next time commit together, so each time is met once however many processes ask
    at once and whenever one of them dies. Times that were missed while none was running are met once, now.
    """
    async with database.write(Scope()) as session:
        taken = (await session.execute(_TAKE_DUE)).one_or_none()
        if taken is None:
            return False
        await session.set_scope(Scope(taken.tenant_id))
        document = await session.get_one(Document, taken.id)
        if is_open(await require(session, document.id)):
            document.refresh_at = taken.taken_at + _BUSY_FOR
            return True
        caller = await acting_for(session, taken.tenant_id, document.refresh_by, Permission.KNOWLEDGE_WRITE)
        if caller is None:
            document.refresh_at = document.refresh_seconds = document.refresh_by = None
            document.warnings = [*document.warnings, _FOR_NOBODY]
            return True
        moment = taken.refresh_at.isoformat()
        request: JsonObject = {"refresh": str(document.id), "at": moment}
        # No header has a line break, so this is never a key that a caller gave.
        key = f"refresh\n{document.id}\n{moment}"
        await processing.begin(
            session, document, ring, created_by=caller.user_id, key=key, request=request, is_refresh=True
        )
        document.refresh_at = taken.taken_at + timedelta(seconds=document.refresh_seconds or 0)
    return True
