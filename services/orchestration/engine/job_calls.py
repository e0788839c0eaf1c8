"""The calls that a job makes of models, within one run of a step: journaled and budgeted like those of agents.

They are found by what they ask, not by their place: a step that is run again goes on where its work stands, and asks
for less than before. The n-th time a step asks the same, it gets the n-th record.
"""

import struct
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from services.orchestration.engine import codec
from services.orchestration.engine.budget import estimate, estimate_texts
from services.orchestration.engine.journal import Answered, AttemptJournal, Intent
from services.orchestration.engine.ports import (
    CallFailed,
    CallKind,
    Delta,
    Effect,
    ModelReply,
    ModelRequest,
    Usage,
)
from shared.kit.json import Json, JsonObject, content_hash

Vectors = list[list[float]]

# One record, and as a rule one request to the provider.
_MOST_TEXTS = 64
_MOST_CHARACTERS = 100_000
# So many times that a job has asked for embeddings, the vectors stay in the journal: a job that is killed before it
# has kept them gets them from there. A job may have this many under way side by side.
KEPT = 8


class JobCalls:
    def __init__(self, journal: AttemptJournal) -> None:
        self._journal = journal
        self._context = journal.context
        self._asked: deque[list[str]] = deque()

    async def complete(self, request: ModelRequest) -> ModelReply:
        context = self._context

        async def expected() -> Usage:
            return estimate(request, await context.outside.models.describe(context.tenant_id, request.model_id))

        asked = codec.model_request(request)
        name = await self._name(request.model_id)
        intent = Intent(CallKind.LLM, Effect.READ, name, asked, request.model_id, None, expected, by_request=True)

        async def make(_: str) -> tuple[ModelReply, Answered]:
            reply = await context.outside.models.complete(context.tenant_id, request, _unseen)
            return reply, Answered(codec.model_reply(reply), reply.usage)

        return await self._journal.answer(intent, make, codec.read_model_reply)

    async def embed(self, model_id: UUID, texts: Sequence[str]) -> Vectors:
        keys: list[str] = []
        self._asked.append(keys)
        while len(self._asked) > KEPT:
            self._forget(self._asked.popleft())
        name = await self._name(model_id)
        vectors: Vectors = []
        for batch in _batches(texts):
            found = None
            while found is None:  # on record, but its vectors were let go of: they are paid once more
                found = await self._embed(model_id, name, batch, keys)
            vectors += found
        # What somebody keeps is paid on record: else a worker that dies now leaves it kept, and nobody knows the price.
        await self._context.writer.barrier()
        return vectors

    def done(self) -> None:
        """The step has succeeded: whatever it asked for is kept elsewhere."""
        self._forget([key for key, call in self._journal.calls.items() if call.kind is CallKind.EMBEDDING])

    async def _embed(self, model_id: UUID, name: str, texts: Sequence[str], keys: list[str]) -> Vectors | None:
        context = self._context

        async def expected() -> Usage:
            return estimate_texts(texts, await context.outside.models.describe(context.tenant_id, model_id))

        # The texts are the caller's own and stand with it; here it is enough to know them again.
        about: JsonObject = {"model_id": str(model_id), "texts": len(texts), "hash": content_hash(list(texts))}
        intent = Intent(CallKind.EMBEDDING, Effect.READ, name, about, model_id, None, expected, by_request=True)

        async def make(key: str) -> tuple[Vectors | None, Answered]:
            found = await context.outside.models.embed(context.tenant_id, model_id, texts)
            keys.append(key)
            response = _response(found.vectors)
            return _read(response), Answered(response, found.usage)

        return await self._journal.answer(intent, make, _read)

    def _forget(self, keys: Sequence[str]) -> None:
        for key in keys:
            response: Any = self._journal.calls[key].response
            if isinstance(response, dict) and "vectors" in response:
                shorter: JsonObject = {name: value for name, value in response.items() if name != "vectors"}  # pyright: ignore[reportUnknownVariableType]
                self._journal.shorten(key, shorter)

    async def _name(self, model_id: UUID) -> str:
        """What is on record is answered though the model be gone."""
        try:
            return (await self._context.outside.models.describe(self._context.tenant_id, model_id)).name
        except CallFailed:
            return str(model_id)


def _batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    start = characters = 0
    for place, text in enumerate(texts):
        if place > start and (place - start == _MOST_TEXTS or characters + len(text) > _MOST_CHARACTERS):
            yield texts[start:place]
            start, characters = place, 0
        characters += len(text)
    if start < len(texts):
        yield texts[start:]


def _response(vectors: Vectors) -> JsonObject:
    """Little-endian float32, as they are kept in the end."""
    dimensions = len(vectors[0])
    packed = b"".join(struct.pack(f"<{dimensions}f", *vector) for vector in vectors)
    return {"dimensions": dimensions, "count": len(vectors), "vectors": b64encode(packed).decode()}


def _read(response: Json) -> Vectors | None:
    stored: Any = response
    packed = stored.get("vectors")
    if packed is None:
        return None
    return [list(vector) for vector in struct.iter_unpack(f"<{stored['dimensions']}f", b64decode(packed))]


def _unseen(_: Delta) -> None:
    """Nobody watches a job's answers grow."""
