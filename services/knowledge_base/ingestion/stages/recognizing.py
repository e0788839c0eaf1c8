"""Reads pages that are images, one by one, and keeps each: a run that takes over goes on with the next."""

from functools import partial

from services.knowledge_base.ingestion import repository, texts
from services.knowledge_base.ingestion.ocr import Ocr, missing, with_ocr
from services.knowledge_base.ingestion.repository import Original
from services.knowledge_base.ingestion.stages.reading import File, Gone, opened, whole_documents
from services.knowledge_base.ingestion.stages.work import GONE, Work, progress
from shared.database.session import WriteSession
from shared.kit.json import Json

_LANGUAGES = "eng"

_ocr = Ocr()


async def recognize(work: Work) -> Json:
    async with work.context.database.read(work.scope) as session:
        structure = await texts.get_structure(session, work.owner)
    pages: list[int] = structure.get("images_only", [])
    if not pages:  # put together by a run that was killed before it could say so
        return {"pages": 0}
    if not _ocr.installed:
        return await _leave(work, pages)
    try:
        async with opened(work) as file:
            languages = str(file.original.settings.get("ocr_languages") or _LANGUAGES)
            read_before = await _read_pages(work, file, pages, languages)
            if read_before is None:
                return GONE
            return await _put_together(work, file.original, languages, len(pages), read_before)
    except Gone:
        return GONE


async def _read_pages(work: Work, file: File, pages: list[int], languages: str) -> int | None:
    """How many of them had been read before; None if the document is gone."""
    version = file.original.version_id
    async with work.context.database.read(work.scope) as session:
        known = await repository.get_recognized(session, version, languages)
    missing = [page for page in pages if page not in known]
    done = there_before = len(pages) - len(missing)
    if not await work.report("ocr", done, len(pages)):
        return None
    async for page, text in _ocr.read(file.path, file.name, missing, languages=languages, password=file.password):
        done += 1
        keep = partial(_keep, work=work, key=(version, languages, page), text=text, done=done, total=len(pages))
        work.context.progress("ocr", done, len(pages))
        if await work.write(keep) == GONE:
            return None
    return there_before


async def _keep(session: WriteSession, work: Work, key: repository.PageKey, text: str, done: int, total: int) -> Json:
    await repository.put_recognized(session, work.owner, key, text)
    await repository.set_document(session, work.owner, progress=progress("ocr", done, total))
    return {}


async def _put_together(work: Work, original: Original, languages: str, pages: int, read_before: int) -> Json:
    async with whole_documents:
        async with work.context.database.read(work.scope) as session:
            extracted = await texts.get_text(session, work.owner)
            recognized = await repository.get_recognized(session, original.version_id, languages)
        if extracted is None:
            return GONE
        whole = with_ocr(extracted, recognized)

        async def keep(session: WriteSession) -> Json:
            await texts.put_text(session, work.owner, whole)
            return {"pages": pages, "read_before": read_before, "char_count": len(whole.text)}

        return await work.write(keep)


async def _leave(work: Work, pages: list[int]) -> Json:
    """What stands in its images is not found. That is said, and fails the document if there is nothing else."""
    async with work.context.database.read(work.scope) as session:
        has_text = await texts.has_text(session, work.owner)
    if not has_text:
        raise missing()
    warning = f"{len(pages)} pages that are images were not read, because tesseract is not installed."
    work.context.log("warning", warning)

    async def keep(session: WriteSession) -> Json:
        await texts.add_warning(session, work.owner, warning)
        return {"pages": 0, "not_read": len(pages)}

    return await work.write(keep)
