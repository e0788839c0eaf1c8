import asyncio
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from services.knowledge_base.evaluation.documents import Known, find_documents, still_there
from services.knowledge_base.evaluation.errors import (
    DocumentUnknown,
    QuestionNotFound,
    QuestionTaken,
    SetFull,
    SetNotFound,
)
from services.knowledge_base.evaluation.questions import exporting, importing, repository
from services.knowledge_base.evaluation.questions.schemas import (
    ChangedOut,
    ExpectedIn,
    ExpectedOut,
    ExportFormat,
    ImportOut,
    ImportRequest,
    QuestionIn,
    QuestionOut,
    QuestionSource,
    QuestionStatus,
)
from services.knowledge_base.evaluation.sets.repository import lock_set
from services.knowledge_base.evaluation.sets.service import require_set
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession, is_unique_violation
from shared.database.tables.evaluation import EvaluationQuestion, EvaluationSet
from shared.kit.ids import new_id
from shared.web.errors import ErrorDetail
from shared.web.pagination import Page, decode_cursor, page

MAX_QUESTIONS = 5000
_TEXT = "uq_evaluation_questions_set_id_text_hash"


async def list_questions(
    session: ReadSession,
    set_id: UUID,
    *,
    status: QuestionStatus | None,
    text: str | None,
    limit: int,
    cursor: str | None,
) -> Page[QuestionOut]:
    await require_set(session, set_id)
    after = decode_cursor(cursor, UUID)[0] if cursor else None
    rows = await repository.list_questions(session, set_id, status=status, text=text, after=after, limit=limit + 1)
    there = await still_there(session, [row.expected for row in rows])
    return page(rows, limit, lambda row: _out(row, there), lambda row: (row.id,))


async def add(session: WriteSession, caller: Principal, set_id: UUID, request: QuestionIn) -> QuestionOut:
    """A question that a person types in is approved by that."""
    found = await _lock(session, set_id)
    await _require_room(session, set_id, 1)
    expected = await _resolve(session, found.knowledge_base_ids, request.expected)
    row = _row(found, caller, request.text, expected, QuestionSource.TYPED)
    if not await repository.add_questions(session, [row]):
        raise QuestionTaken
    return await get_question(session, set_id, row["id"])


async def get_question(session: ReadSession, set_id: UUID, question_id: UUID) -> QuestionOut:
    row = await _require(session, set_id, question_id)
    return _out(row, await still_there(session, [row.expected]))


async def edit(session: WriteSession, set_id: UUID, question_id: UUID, request: QuestionIn) -> QuestionOut:
    """Its status stays: a draft that is edited is still to be approved."""
    found = await require_set(session, set_id)
    row = await _require(session, set_id, question_id)
    row.expected = await _resolve(session, found.knowledge_base_ids, request.expected, kept=row.expected)
    row.text, row.text_hash = request.text, repository.text_hash(request.text)
    try:
        await session.flush()
    except IntegrityError as error:
        if is_unique_violation(error, _TEXT):
            raise QuestionTaken from None
        raise
    await session.refresh(row)
    return await get_question(session, set_id, question_id)


async def delete(session: WriteSession, set_id: UUID, question_id: UUID) -> None:
    await session.delete(await _require(session, set_id, question_id))


async def set_status(session: WriteSession, set_id: UUID, ids: Sequence[UUID], status: QuestionStatus) -> ChangedOut:
    await require_set(session, set_id)
    there, changed = await repository.set_status(session, set_id, ids, status)
    if there != len(set(ids)):
        raise QuestionNotFound
    return ChangedOut(changed=changed)


async def import_questions(session: WriteSession, caller: Principal, set_id: UUID, request: ImportRequest) -> ImportOut:
    """All or nothing."""
    found = await _lock(session, set_id)
    parsed = await asyncio.to_thread(importing.parse, request)
    known = await find_documents(
        session, found.knowledge_base_ids, {name for question in parsed.questions for name in question.expected}
    )
    problems = importing.Problems()
    rows: list[dict[str, Any]] = []
    for question in parsed.questions:
        for reference in question.expected:
            if complaint := _complaint(reference, known[reference]):
                problems.add(question.line, complaint)
        grades = {known[reference][0]: grade for reference, grade in question.expected.items() if known[reference]}
        expected = [_expected(document, grade) for document, grade in grades.items()]
        rows.append(_row(found, caller, question.text, expected, QuestionSource.IMPORTED))
    problems.raise_any()
    added = await repository.add_questions(session, rows)
    await _require_room(session, set_id, 0)
    return ImportOut(imported=len(added), duplicates=len(rows) - len(added), skipped=parsed.skipped)


async def export_questions(
    session: ReadSession, set_id: UUID, status: QuestionStatus | None, format_: ExportFormat
) -> tuple[bytes, str]:
    await require_set(session, set_id)
    return exporting.export(await repository.list_questions(session, set_id, status=status), format_)


async def _lock(session: WriteSession, set_id: UUID) -> EvaluationSet:
    """Whoever adds questions comes one after the other, so that there are never too many."""
    found = await lock_set(session, set_id)
    if found is None:
        raise SetNotFound
    return found


async def _require(session: ReadSession, set_id: UUID, question_id: UUID) -> EvaluationQuestion:
    found = await repository.get_question(session, set_id, question_id)
    if found is None:
        raise QuestionNotFound
    return found


async def _require_room(session: ReadSession, set_id: UUID, more: int) -> None:
    if await repository.count_questions(session, set_id) + more > MAX_QUESTIONS:
        raise SetFull(f"A set holds at most {MAX_QUESTIONS:,} questions.")


async def _resolve(
    session: ReadSession,
    knowledge_base_ids: Sequence[UUID],
    expected: Sequence[ExpectedIn],
    kept: Sequence[dict[str, Any]] = (),
) -> list[dict[str, Any]]:
    """What a question had may stay, even if it is not there any more."""
    known = await find_documents(session, knowledge_base_ids, [one.reference for one in expected])
    for one in kept:
        if known.get(one["document_id"]) == []:
            known[one["document_id"]] = [Known(UUID(one["document_id"]), one["name"])]
    details = [
        ErrorDetail(field=f"expected.{place}", message=complaint, code=DocumentUnknown.code)
        for place, one in enumerate(expected)
        if (complaint := _complaint(one.reference, known[one.reference]))
    ]
    if details:
        raise DocumentUnknown(details=details)
    by_document = {known[one.reference][0].document_id: one for one in expected}
    return [_expected(known[one.reference][0], one.grade) for one in by_document.values()]


def _complaint(reference: str, known: Sequence[Known]) -> str | None:
    if not known:
        return f"there is no document {reference!r}"
    return f"{len(known)} documents are called {reference!r}: name it by its id" if len(known) > 1 else None


def _expected(known: Known, grade: int) -> dict[str, Any]:
    return {"document_id": str(known.document_id), "name": known.name, "grade": grade}


def _row(
    found: EvaluationSet, caller: Principal, text: str, expected: list[dict[str, Any]], source: QuestionSource
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "tenant_id": found.tenant_id,
        "set_id": found.id,
        "text": text,
        "text_hash": repository.text_hash(text),
        "status": QuestionStatus.APPROVED.value,
        "source": source.value,
        "expected": expected,
        "created_by": caller.user_id,
    }


def expected_out(expected: Sequence[dict[str, Any]], there: set[UUID]) -> list[ExpectedOut]:
    return [
        ExpectedOut(
            document_id=UUID(one["document_id"]),
            name=one["name"],
            grade=one["grade"],
            deleted=UUID(one["document_id"]) not in there,
        )
        for one in expected
    ]


def _out(row: EvaluationQuestion, there: set[UUID]) -> QuestionOut:
    return QuestionOut(
        id=row.id,
        text=row.text,
        status=QuestionStatus(row.status),
        source=QuestionSource(row.source),
        expected=expected_out(row.expected, there),
        passage=row.passage,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
