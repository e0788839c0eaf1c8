"""What every stage of an ingestion goes by: whose document it is, and how to write to it and wait for others."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from services.knowledge_base.ingestion import repository
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.locks import Keep
from shared.database.session import Scope, WriteSession
from shared.executions.jobs import JobContext, JobFailed
from shared.kit.json import Json, JsonObject
from shared.knowledge.errors import VectorStoreUnavailable

_PAUSES = (1.0, 2.0, 5.0, 10.0, 20.0)
_LAST_UPSERT = 4.0  # less than a worker that must leave gives its steps

GONE: JsonObject = {"gone": True}

T = TypeVar("T")


@dataclass(slots=True)
class Work:
    context: JobContext
    owner: Owner

    @property
    def scope(self) -> Scope:
        return Scope(self.context.tenant_id)

    async def report(self, stage: str, done: int, total: int, **values: Any) -> bool:
        """Tells watchers how far it is; False if this ingestion has no business with the document any more."""
        self.context.progress(stage, done, total)
        async with self.context.database.write(self.scope) as session:
            if not await repository.hold(session, self.owner):
                return False
            await repository.set_document(session, self.owner, progress=progress(stage, done, total), **values)
        return True

    async def write(self, write: Callable[[WriteSession], Awaitable[Json]], keep: Keep = Keep.THERE) -> Json:
        """In one transaction with the document locked."""
        async with self.context.database.write(self.scope) as session:
            if not await repository.hold(session, self.owner, keep):
                return GONE
            return await write(session)

    async def fail(self, code: str, message: str) -> NoReturn:
        error = {"code": code, "message": message}
        async with self.context.database.write(self.scope) as session:
            if await repository.hold(session, self.owner):
                await repository.set_document(session, self.owner, status="failed", error=error, progress=None)
        raise JobFailed(code, message)


def progress(stage: str, done: int, total: int) -> JsonObject:
    return {"stage": stage, "done": done, "total": total}


async def patiently(context: JobContext, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Waits for a vector store that restarts; raises `VectorStoreUnavailable` when it stays away."""
    for pause in _PAUSES:
        try:
            return await _unbroken(operation())
        except VectorStoreUnavailable:
            context.log("warning", "the vector store does not answer, trying again")
            await asyncio.sleep(pause)
    return await _unbroken(operation())


async def _unbroken(operation: Coroutine[Any, Any, T]) -> T:
    """When the job is cancelled in the middle, the request ends first: who deletes next then finds all of it."""
    task = asyncio.ensure_future(operation)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=_LAST_UPSERT)
        raise
