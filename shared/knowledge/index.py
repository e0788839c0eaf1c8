"""Vectors in Chroma: one collection per index, over its HTTP API, with vectors we computed ourselves.

A knowledge base's first index has its id; while its embedding model is changed, another one is filled beside it.

A thin client in place of the `chromadb` package: see docs/decisions/0006-chroma-over-http.md.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

import aiohttp
import orjson

from shared.kit.logging import get_logger
from shared.knowledge.errors import VectorStoreRefused, VectorStoreUnavailable

log = get_logger(__name__)

_DATABASE = "/api/v2/tenants/default_tenant/databases/default_database"
_BATCH = 400  # less than 1 MB of JSON; Chroma takes 5461
_PAGE = 2000
_PREFIX = "kb-"
_TRIES = 3
_FIRST_PAUSE = 0.1
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=3)
_CONNECTIONS = 16
_KNOWN_COLLECTIONS = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VectorRecord:
    """`vector` is little-endian float32, as `shared.knowledge.embedding` packs it."""

    chunk_id: UUID
    document_id: UUID
    vector: bytes


@dataclass(frozen=True, slots=True)
class Hit:
    chunk_id: UUID
    score: float


class _Missing(Exception):
    """The collection is not there."""


class VectorIndex:
    """One per process and event loop. Raises `VectorStoreUnavailable` when Chroma does not answer.

    Every operation may be repeated: vectors are put under their chunk's id, and deleting what is gone is no error.
    """

    def __init__(self, url: str) -> None:
        self._base = url.rstrip("/") + _DATABASE
        self._opened: aiohttp.ClientSession | None = None
        self._collections: OrderedDict[UUID, str] = OrderedDict()

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def upsert(self, index_id: UUID, records: Sequence[VectorRecord]) -> None:
        """Makes the index's collection if it is not there."""
        for batch in _batches(records):
            body = {
                "ids": [str(record.chunk_id) for record in batch],
                "embeddings": [base64.b64encode(record.vector).decode() for record in batch],
                "metadatas": [{"document_id": str(record.document_id)} for record in batch],
            }
            await self._in_collection(index_id, "upsert", body, create=True)

    async def search(self, index_id: UUID, vector: Sequence[float], limit: int) -> list[Hit]:
        """The nearest chunks, best first, with their cosine similarity; none when nothing was ever indexed."""
        body = {"query_embeddings": [list(vector)], "n_results": limit, "include": ["distances"]}
        try:
            answer = await self._in_collection(index_id, "query", body)
        except _Missing:
            return []
        return [
            Hit(UUID(chunk_id), min(1.0, max(0.0, 1.0 - distance)))
            for chunk_id, distance in zip(answer["ids"][0], answer["distances"][0], strict=True)
        ]

    async def chunk_ids(self, index_id: UUID, document_id: UUID | None = None) -> set[UUID]:
        """What is indexed, of one document or in all."""
        body: dict[str, Any] = {"include": []}
        if document_id is not None:
            body["where"] = {"document_id": str(document_id)}
        try:
            answer = await self._in_collection(index_id, "get", body)
        except _Missing:
            return set()
        return {UUID(chunk_id) for chunk_id in answer["ids"]}

    async def present(self, index_id: UUID, chunk_ids: Sequence[UUID]) -> set[UUID]:
        """Those of these chunks that are indexed."""
        found: set[UUID] = set()
        for batch in _batches([str(chunk_id) for chunk_id in chunk_ids]):
            try:
                answer = await self._in_collection(index_id, "get", {"ids": batch, "include": []})
            except _Missing:
                return set()
            found.update(UUID(chunk_id) for chunk_id in answer["ids"])
        return found

    async def pages(self, index_id: UUID, size: int = _PAGE) -> AsyncIterator[list[UUID]]:
        """All that is indexed, so many at a time; what is deleted meanwhile may hide others."""
        offset = 0
        while True:
            body: dict[str, Any] = {"include": [], "limit": size, "offset": offset}
            try:
                answer = await self._in_collection(index_id, "get", body)
            except _Missing:
                return
            yield [UUID(chunk_id) for chunk_id in answer["ids"]]
            if len(answer["ids"]) < size:
                return
            offset += size

    async def all_indexes(self) -> set[UUID]:
        """The indexes that have a collection, of all tenants: to see which were lost."""
        found: set[UUID] = set()
        offset = 0
        while True:
            answer = await self._request("GET", f"/collections?limit={_PAGE}&offset={offset}")
            found.update(UUID(one["name"][len(_PREFIX) :]) for one in answer if one["name"].startswith(_PREFIX))
            if len(answer) < _PAGE:
                return found
            offset += _PAGE

    async def delete_chunks(self, index_id: UUID, chunk_ids: Collection[UUID]) -> None:
        for batch in _batches([str(chunk_id) for chunk_id in chunk_ids]):
            try:
                await self._in_collection(index_id, "delete", {"ids": batch})
            except _Missing:
                return

    async def delete_document(self, index_id: UUID, document_id: UUID) -> None:
        try:
            await self._in_collection(index_id, "delete", {"where": {"document_id": str(document_id)}})
        except _Missing:
            return

    async def drop(self, index_id: UUID) -> None:
        """Deletes the whole collection."""
        self._collections.pop(index_id, None)
        try:
            await self._request("DELETE", f"/collections/{_name(index_id)}")
        except _Missing:
            return

    async def _in_collection(
        self, index_id: UUID, operation: str, body: dict[str, Any], *, create: bool = False
    ) -> Any:
        known = self._collections.get(index_id)
        if known is not None:
            try:
                return await self._request("POST", f"/collections/{known}/{operation}", body)
            except _Missing:  # dropped and perhaps made again, by another process
                self._collections.pop(index_id, None)
        collection = await (self._create(index_id) if create else self._find(index_id))
        return await self._request("POST", f"/collections/{collection}/{operation}", body)

    async def _find(self, index_id: UUID) -> str:
        answer = await self._request("GET", f"/collections/{_name(index_id)}")
        return self._remember(index_id, answer["id"])

    async def _create(self, index_id: UUID) -> str:
        body = {
            "name": _name(index_id),
            "get_or_create": True,
            "configuration": {"hnsw": {"space": "cosine"}},
        }
        answer = await self._request("POST", "/collections", body)
        return self._remember(index_id, answer["id"])

    def _remember(self, index_id: UUID, collection: str) -> str:
        self._collections[index_id] = collection
        if len(self._collections) > _KNOWN_COLLECTIONS:
            self._collections.popitem(last=False)
        return collection

    async def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Tried again after a pause when Chroma does not answer or is not well: everything here may be repeated."""
        data = None if body is None else orjson.dumps(body)
        for attempt in range(_TRIES):
            try:
                return await self._try(method, path, data)
            except (aiohttp.ClientError, TimeoutError, VectorStoreUnavailable) as error:
                log.warning("vector store does not answer", attempt=attempt + 1, error=repr(error))
                await asyncio.sleep(_FIRST_PAUSE * 4**attempt)
        raise VectorStoreUnavailable

    async def _try(self, method: str, path: str, data: bytes | None) -> Any:
        headers = {"Content-Type": "application/json"}
        async with self._session().request(method, self._base + path, data=data, headers=headers) as answer:
            content = await answer.read()
            if answer.status == 404:
                raise _Missing
            if answer.status >= 500 or answer.status in (408, 429):
                raise VectorStoreUnavailable
            if answer.status >= 400:
                log.error("vector store refused", path=path, status=answer.status, answer=content[:500].decode())
                raise VectorStoreRefused
            return orjson.loads(content)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            connector = aiohttp.TCPConnector(limit=_CONNECTIONS)
            self._opened = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self._opened


def _name(index_id: UUID) -> str:
    return f"{_PREFIX}{index_id}"


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
