"""Vectors in Chroma: one collection per knowledge base, over its HTTP API, with vectors we computed ourselves.

A thin client in place of the `chromadb` package: see docs/decisions/0006-chroma-over-http.md.
"""

import asyncio
import base64
from collections import OrderedDict
from collections.abc import Collection, Iterator, Sequence
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
_TRIES = 3
_FIRST_PAUSE = 0.1
_TIMEOUT = aiohttp.ClientTimeout(total=60, connect=3)
_CONNECTIONS = 16
_KNOWN_COLLECTIONS = 10_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class VectorRecord:
    """`vector` is little-endian float32, as `shared.knowledge.vectors` packs it."""

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

    async def upsert(self, knowledge_base_id: UUID, records: Sequence[VectorRecord]) -> None:
        """Makes the knowledge base's collection if it is not there."""
        for batch in _batches(records):
            body = {
                "ids": [str(record.chunk_id) for record in batch],
                "embeddings": [base64.b64encode(record.vector).decode() for record in batch],
                "metadatas": [{"document_id": str(record.document_id)} for record in batch],
            }
            await self._in_collection(knowledge_base_id, "upsert", body, create=True)

    async def search(self, knowledge_base_id: UUID, vector: Sequence[float], limit: int) -> list[Hit]:
        """The nearest chunks, best first, with their cosine similarity; none when nothing was ever indexed."""
        body = {"query_embeddings": [list(vector)], "n_results": limit, "include": ["distances"]}
        try:
            answer = await self._in_collection(knowledge_base_id, "query", body)
        except _Missing:
            return []
        return [
            Hit(UUID(chunk_id), min(1.0, max(0.0, 1.0 - distance)))
            for chunk_id, distance in zip(answer["ids"][0], answer["distances"][0], strict=True)
        ]

    async def chunk_ids(self, knowledge_base_id: UUID, document_id: UUID | None = None) -> set[UUID]:
        """What is indexed, of one document or of the whole knowledge base."""
        body: dict[str, Any] = {"include": []}
        if document_id is not None:
            body["where"] = {"document_id": str(document_id)}
        try:
            answer = await self._in_collection(knowledge_base_id, "get", body)
        except _Missing:
            return set()
        return {UUID(chunk_id) for chunk_id in answer["ids"]}

    async def delete_chunks(self, knowledge_base_id: UUID, chunk_ids: Collection[UUID]) -> None:
        for batch in _batches([str(chunk_id) for chunk_id in chunk_ids]):
            try:
                await self._in_collection(knowledge_base_id, "delete", {"ids": batch})
            except _Missing:
                return

    async def delete_document(self, knowledge_base_id: UUID, document_id: UUID) -> None:
        try:
            await self._in_collection(knowledge_base_id, "delete", {"where": {"document_id": str(document_id)}})
        except _Missing:
            return

    async def drop(self, knowledge_base_id: UUID) -> None:
        """Deletes the knowledge base's whole collection."""
        self._collections.pop(knowledge_base_id, None)
        try:
            await self._request("DELETE", f"/collections/{_name(knowledge_base_id)}")
        except _Missing:
            return

    async def _in_collection(
        self, knowledge_base_id: UUID, operation: str, body: dict[str, Any], *, create: bool = False
    ) -> Any:
        known = self._collections.get(knowledge_base_id)
        if known is not None:
            try:
                return await self._request("POST", f"/collections/{known}/{operation}", body)
            except _Missing:  # dropped and perhaps made again, by another process
                self._collections.pop(knowledge_base_id, None)
        collection = await (self._create(knowledge_base_id) if create else self._find(knowledge_base_id))
        return await self._request("POST", f"/collections/{collection}/{operation}", body)

    async def _find(self, knowledge_base_id: UUID) -> str:
        answer = await self._request("GET", f"/collections/{_name(knowledge_base_id)}")
        return self._remember(knowledge_base_id, answer["id"])

    async def _create(self, knowledge_base_id: UUID) -> str:
        body = {
            "name": _name(knowledge_base_id),
            "get_or_create": True,
            "configuration": {"hnsw": {"space": "cosine"}},
        }
        answer = await self._request("POST", "/collections", body)
        return self._remember(knowledge_base_id, answer["id"])

    def _remember(self, knowledge_base_id: UUID, collection: str) -> str:
        self._collections[knowledge_base_id] = collection
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


def _name(knowledge_base_id: UUID) -> str:
    return f"kb-{knowledge_base_id}"


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]
