"""Asking for questions: the execution that writes them is `evaluation/generation.py`."""

import secrets
from uuid import UUID

from sqlalchemy import exists, select

from services.knowledge_base.evaluation.actions import GENERATE
from services.knowledge_base.evaluation.errors import ModelUnusable, NothingToAskAbout, SetFull
from services.knowledge_base.evaluation.questions import repository
from services.knowledge_base.evaluation.questions.schemas import GenerateRequest
from services.knowledge_base.evaluation.questions.service import MAX_QUESTIONS
from services.knowledge_base.evaluation.sets.service import require_set
from services.knowledge_base.work import submit_work
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.database.tables.knowledge import Document
from shared.database.tables.models import Model
from shared.executions.schemas import ExecutionSummary
from shared.executions.submit import Ring, find_submitted
from shared.kit.json import JsonObject
from shared.knowledge.search import require_knowledge_bases
from shared.llm.settings import ModelKind
from shared.workflow.states import ExecutionKind


async def start(
    session: WriteSession,
    caller: Principal,
    set_id: UUID,
    request: GenerateRequest,
    ring: Ring,
    idempotency_key: str | None,
) -> ExecutionSummary:
    asked: JsonObject = {"generate": str(set_id), **request.model_dump(mode="json")}
    row = await find_submitted(session, idempotency_key, ExecutionKind.EVALUATION, asked)
    if row is None:
        found = await require_set(session, set_id)
        await require_knowledge_bases(session, found.knowledge_base_ids)
        if await repository.count_questions(session, set_id) + request.count > MAX_QUESTIONS:
            raise SetFull(f"A set holds at most {MAX_QUESTIONS:,} questions.")
        await _require_documents(session, found.knowledge_base_ids, request.document_ids)
        spec: JsonObject = {
            "action": GENERATE,
            "set_id": str(set_id),
            "knowledge_base_ids": [str(one) for one in found.knowledge_base_ids],
            "document_ids": [str(one) for one in request.document_ids],
            "model_id": str(await _model(session, request.model_id)),
            "count": request.count,
            "seed": secrets.randbelow(2**31) if request.seed is None else request.seed,
        }
        row = await submit_work(
            session,
            ring,
            tenant_id=caller.tenant_id,
            kind=ExecutionKind.EVALUATION,
            name=f"Write questions for {found.name}",
            spec=spec,
            created_by=caller.user_id,
            key=idempotency_key,
            request=asked,
        )
    return ExecutionSummary.model_validate(row)


async def _model(session: ReadSession, model_id: UUID | None) -> UUID:
    statement = select(Model.id).where(Model.kind == ModelKind.CHAT.value)
    statement = statement.where(Model.is_default) if model_id is None else statement.where(Model.id == model_id)
    found = await session.scalar(statement)
    if found is None:
        raise ModelUnusable
    return found


async def _require_documents(session: ReadSession, base_ids: list[UUID], document_ids: list[UUID]) -> None:
    statement = select(Document.id).where(Document.knowledge_base_id.in_(base_ids), Document.revision.is_not(None))
    if document_ids:
        statement = statement.where(Document.id.in_(document_ids))
    if not await session.scalar(select(exists(statement))):
        raise NothingToAskAbout
