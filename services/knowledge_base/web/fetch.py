"""The first step of a web page's ingestion: the page is fetched, and is a new version if it has changed."""

import asyncio
import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from services.knowledge_base.documents import versions
from services.knowledge_base.documents.versions import Content
from services.knowledge_base.ingestion.extract.sniff import HEAD, check_head
from services.knowledge_base.ingestion.owner import Owner
from services.knowledge_base.ingestion.stages.work import GONE, Work
from services.knowledge_base.limits import service as limits
from services.knowledge_base.web.addresses import file_name
from services.knowledge_base.web.answers import Page, page_of
from services.knowledge_base.web.problems import PageFailed
from services.knowledge_base.web.robots import USER_AGENT, Robots
from shared.database.session import WriteSession
from shared.database.tables.knowledge import Document
from shared.executions.jobs import JobContext
from shared.kit.clock import utcnow
from shared.kit.json import Json, JsonObject
from shared.net.fetch import FetchFailed, FetchProblem, Limits, fetch
from shared.net.policy import UrlRefused
from shared.net.session import open_session

_LARGEST = 50 * 1024 * 1024
_SECONDS = 60.0
_PAUSES = (2.0, 8.0)
_LONGEST_PAUSE = 60.0
_HEADERS = {
    "User-Agent": f"{USER_AGENT} (reads pages that were named to it)",
    "Accept": "text/html,application/xhtml+xml,application/pdf;q=0.9,text/*;q=0.9,*/*;q=0.8",
}
_robots = Robots()


@dataclass(frozen=True, slots=True)
class _Wanted:
    url: str
    conditions: Mapping[str, str]  # headers that ask only for what has changed
    max_bytes: int


async def fetch_page(context: JobContext, owner: Owner) -> JsonObject:
    """`version`: what is to be processed. `unchanged`: it is what is found already, and nobody asked for more."""
    work = Work(context, owner)
    wanted = await _wanted(work)
    if wanted is None:
        return GONE
    page = await _fetch_patiently(context, wanted)
    if page is None:
        return cast(JsonObject, await work.write(partial(_keep, work=work)))
    with tempfile.TemporaryFile() as file:
        file.write(page.body)
        stored = await work.write(partial(_store, work=work, page=page, content=_content(page, file)))
        return cast(JsonObject, stored)


async def _wanted(work: Work) -> _Wanted | None:
    async with work.context.database.read(work.scope) as session:
        document = await session.get(Document, work.owner.document_id)
        allowed = await limits.limits_of(session, work.context.resources.settings, work.context.tenant_id)
    if document is None or document.url is None:
        return None
    known = (document.fetched or {}) if document.version else {}
    conditions = {"If-None-Match": known.get("etag"), "If-Modified-Since": known.get("last_modified")}
    sent = {name: value for name, value in conditions.items() if value}
    return _Wanted(document.url, sent, min(_LARGEST, allowed.max_file_bytes))


async def _fetch_patiently(context: JobContext, wanted: _Wanted) -> Page | None:
    """None: it has not changed. Raises `PageFailed`."""
    for pause in _PAUSES:
        try:
            return await _fetch(context, wanted)
        except PageFailed as error:
            if not error.passes:
                raise
            context.log("info", f"the page could not be had, trying again: {error.message}")
            await asyncio.sleep(min(max(pause, error.after or 0), _LONGEST_PAUSE))
    return await _fetch(context, wanted)


async def _fetch(context: JobContext, wanted: _Wanted) -> Page | None:
    policy = context.resources.outbound.policy
    async with open_session(policy) as session:
        try:
            answer = await fetch(
                session,
                policy,
                "GET",
                wanted.url,
                headers={**_HEADERS, **wanted.conditions},
                limits=Limits(max_bytes=wanted.max_bytes, timeout=_SECONDS),
                before=partial(_robots.admit, session, policy, context.resources.redis),
            )
        except UrlRefused as error:
            raise PageFailed("page_address_refused", f"The page cannot be fetched: {error}.") from error
        except FetchFailed as error:
            raise _failed(error, wanted) from error
        except ValueError as error:
            raise PageFailed("page_address_refused", "The page's address cannot be requested like this.") from error
    page = await asyncio.to_thread(page_of, answer, wanted.url)
    if page is None and not wanted.conditions:
        raise PageFailed("page_refused", "The site says that the page has not changed, and was not asked for that.")
    return page


def _failed(error: FetchFailed, wanted: _Wanted) -> PageFailed:
    match error.problem:
        case FetchProblem.BLOCKED:
            return PageFailed("page_address_refused", f"The page cannot be fetched: {error}.")
        case FetchProblem.TOO_LARGE:
            megabytes = wanted.max_bytes / 1_000_000
            return PageFailed("page_too_large", f"The page is larger than {megabytes:,.0f} MB.")
        case FetchProblem.REDIRECT:
            return PageFailed("page_redirected", f"The page cannot be fetched: it is {error}.")
        case _:
            return PageFailed("page_unavailable", f"The page could not be fetched: {error}.", passes=True)


def _content(page: Page, file: Any) -> Content:
    """Raises `ExtractionError` for what can be no document."""
    name = file_name(page.url, page.media_type)
    found = check_head(page.body[:HEAD], name)
    return Content(
        name=name,
        media_type=found.media_type if found else versions.UNKNOWN,
        size_bytes=len(page.body),
        content_hash=hashlib.sha256(page.body).hexdigest(),
        file=file,
    )


async def _store(session: WriteSession, *, work: Work, page: Page, content: Content) -> Json:
    document = await session.get_one(Document, work.owner.document_id, populate_existing=True)
    name = document.name
    settings = work.context.resources.settings
    number = await versions.store_version(session, settings, document, content, created_by=document.created_by)
    document.name = name  # the file's name is for the readers
    document.fetched = {
        "url": page.url,
        "status": page.status,
        "media_type": page.media_type,
        "etag": page.etag,
        "last_modified": page.last_modified,
        "at": utcnow().isoformat(),
    }
    await session.flush()
    if number is not None:
        return {"version": number, "size_bytes": content.size_bytes, "url": page.url}
    return await _keep(session, work=work)


async def _keep(session: WriteSession, *, work: Work) -> Json:
    """What is there is what the page says. It is processed all the same if somebody asked for that, or if it could not
    be the last time."""
    document = await session.get_one(Document, work.owner.document_id, populate_existing=True)
    found = await versions.searchable_version(session, document.id)
    if not work.context.spec.get("refresh") or found != document.version:
        return {"version": document.version, "same": True}
    document.fetched = {**(document.fetched or {}), "at": utcnow().isoformat()}
    await session.flush()
    return {"unchanged": True, "version": document.version}
