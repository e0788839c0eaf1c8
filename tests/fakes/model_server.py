"""A fake model provider that speaks OpenAI's API, as a process of its own, with a journal of its own.

`python -m tests.fakes.model_server --port 0 --latency-ms 50 --journal FILE` prints its address first.

POST /_script   {"rules": [...], "replace": true}   rules as in `model_script.Rule`, tried in order
GET  /_journal  every request received since the last reset, bodies included
GET  /_stats    counts: requests, in flight, most in flight
POST /_reset    forgets rules, journal and counts (the journal file is truncated too)
"""

import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import IO, Any

import orjson
from aiohttp import web

from tests.fakes.model_script import ChatRequest, Fault, Plan, Script
from tests.fakes.process import FakeServer
from tests.fakes.serving import parser_of, serve


class Journal:
    """Every request received. The file gets its line before the request is answered."""

    def __init__(self, path: Path | None) -> None:
        self.entries: list[dict[str, Any]] = []
        self._path = path
        self._file: IO[bytes] | None = path.open("ab", buffering=0) if path else None

    def add(self, path: str, headers: Any, body: Any) -> dict[str, Any]:
        kept = {name.lower(): value for name, value in headers.items()}
        entry = {"n": len(self.entries) + 1, "at": time.time(), "path": path, "headers": kept, "body": body}
        if self._file:
            self._file.write(orjson.dumps(entry) + b"\n")
        self.entries.append(entry)
        return entry

    def reset(self) -> None:
        self.entries.clear()
        if self._file:
            self._file.truncate(0)


class FakeProvider:
    def __init__(self, script: Script, journal: Journal) -> None:
        self.script = script
        self.journal = journal
        self.in_flight = 0
        self.most_in_flight = 0

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match request.method, request.path:
            case "POST", "/v1/chat/completions":
                return await self._counted(request, "chat")
            case "POST", "/v1/embeddings":
                return await self._counted(request, "embeddings")
            case "POST", "/v1/rerank":
                return await self._counted(request, "rerank")
            case "GET", "/v1/models":
                self.journal.add("models", request.headers, None)
                return _json({"object": "list", "data": [{"id": "fake", "object": "model"}]})
            case _, path if path.startswith("/_"):
                return await self._control(request)
            case _:
                return _json({"error": {"message": f"no such path: {request.path}"}}, 404)

    async def _control(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/_script":
            given = orjson.loads(await request.read())
            try:
                (self.script.replace if given.get("replace", True) else self.script.extend)(given["rules"])
            except (TypeError, KeyError) as error:
                return _json({"error": str(error)}, 400)
        elif request.path == "/_journal":
            return _json({"count": len(self.journal.entries), "requests": self.journal.entries})
        elif request.path == "/_reset":
            self.script.rules = []
            self.journal.reset()
            self.most_in_flight = self.in_flight
        counts = {"requests": len(self.journal.entries), "in_flight": self.in_flight}
        return _json({**counts, "most_in_flight": self.most_in_flight})

    async def _counted(self, request: web.BaseRequest, path: str) -> web.StreamResponse:
        raw = await request.read()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        entry: dict[str, Any] | None = None
        try:
            body = orjson.loads(raw)
            entry = self.journal.add(path, request.headers, body)
            answer = await self._answer(request, ChatRequest(path, body))
            entry["answered"] = True
            return answer
        except orjson.JSONDecodeError:
            return _json({"error": {"message": "the body is no JSON"}}, 400)
        except ConnectionError:
            return web.Response()
        finally:
            self.in_flight -= 1

    async def _answer(self, request: web.BaseRequest, asked: ChatRequest) -> web.StreamResponse:
        plan = self.script.plan(asked)
        if plan.latency:
            await asyncio.sleep(plan.latency)
        streaming = bool(asked.body.get("stream"))
        if plan.fault and (refused := await _refuse(request, plan.fault, streaming)):
            return refused
        if asked.path in ("embeddings", "rerank"):
            return await _vectors(request, asked, plan)
        if streaming:
            return await _stream(request, asked, plan)
        body = orjson.dumps(_completion(asked, plan))
        if plan.fault:
            return await _half_body(request, body, plan.fault)
        return web.Response(body=body, content_type="application/json")


async def _refuse(request: web.BaseRequest, fault: Fault, streaming: bool) -> web.StreamResponse | None:
    """The faults that show before any of the answer; None for those that cut it short."""
    match fault.kind:
        case "rate_limit":
            headers = {"Retry-After": fault.retry_after} if fault.retry_after is not None else None
            return _json(_provider_error(fault, "rate_limit_exceeded"), 429, headers)
        case "error":
            return _json(_provider_error(fault, "server_error"), fault.status)
        case "garbage" if not streaming:
            return web.Response(body=b"<html>\xff not what you asked for", content_type="application/json")
        case "hang":
            await asyncio.Event().wait()
            return None
        case "close":
            _abort(request)
            raise ConnectionResetError
        case _:
            return None


async def _stream(request: web.BaseRequest, asked: ChatRequest, plan: Plan) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(request)
    lines = _stream_lines(asked, plan)
    if plan.fault and plan.fault.kind == "garbage":
        lines = [*lines[: len(lines) // 2], b"data: {not json\n\n", b"data: [DONE]\n\n"]
        plan.fault = None
    for line in lines[: len(lines) // 2] if plan.fault else lines:
        await response.write(line)
        if plan.chunk_delay:
            await asyncio.sleep(plan.chunk_delay)
    if plan.fault:
        await _cut(request, plan.fault)
    await response.write_eof()
    return response


async def _half_body(request: web.BaseRequest, body: bytes, fault: Fault) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body) if fault.kind != "truncate" else len(body) // 2
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    await _cut(request, fault)
    await response.write_eof()
    return response


async def _cut(request: web.BaseRequest, fault: Fault) -> None:
    if fault.kind == "stall":
        await asyncio.Event().wait()
    if fault.kind != "truncate":
        _abort(request)
        raise ConnectionResetError


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


def _stream_lines(asked: ChatRequest, plan: Plan) -> list[bytes]:
    base = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": asked.model}

    def line(delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return b"data: " + orjson.dumps({**base, "choices": [choice]}) + b"\n\n"

    lines = [line({"role": "assistant", "content": ""})]
    lines += [line({"reasoning_content": piece}) for piece in _pieces(plan.reasoning, plan.chunks)]
    lines += [line({"content": piece}) for piece in _pieces(plan.text, plan.chunks)]
    for index, call in enumerate(plan.tool_calls):
        arguments = call["function"]["arguments"]
        opening = {**call, "index": index, "function": {"name": call["function"]["name"], "arguments": ""}}
        lines.append(line({"tool_calls": [opening]}))
        for piece in _pieces(arguments, plan.chunks):
            lines.append(line({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
    lines.append(line({}, plan.finish_reason))
    if (asked.body.get("stream_options") or {}).get("include_usage"):
        lines.append(b"data: " + orjson.dumps({**base, "choices": [], "usage": plan.usage}) + b"\n\n")
    return [*lines, b"data: [DONE]\n\n"]


def _pieces(text: str, count: int) -> list[str]:
    size = max(1, -(-len(text) // count))
    return [text[i : i + size] for i in range(0, len(text), size)]


def _completion(asked: ChatRequest, plan: Plan) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": plan.text or None}
    if plan.tool_calls:
        message["tool_calls"] = plan.tool_calls
    if plan.reasoning:
        message["reasoning_content"] = plan.reasoning
    choice = {"index": 0, "message": message, "finish_reason": plan.finish_reason}
    base = {"id": "chatcmpl-fake", "object": "chat.completion", "created": 1, "model": asked.model}
    return {**base, "choices": [choice], "usage": plan.usage}


async def _vectors(request: web.BaseRequest, asked: ChatRequest, plan: Plan) -> web.StreamResponse:
    answer = _ranking(asked, plan) if asked.path == "rerank" else _embeddings(asked, plan)
    # By hand: a NaN is no JSON, and a careless server sends it all the same.
    body = json.dumps(answer).encode()
    if plan.fault and plan.fault.kind in ("truncate", "drop", "stall"):
        return await _half_body(request, body, plan.fault)
    return web.Response(body=body, content_type="application/json")


def _embeddings(asked: ChatRequest, plan: Plan) -> dict[str, Any]:
    dimensions = asked.body.get("dimensions") or 384
    vectors = [_vector(str(message["content"]), dimensions) for message in asked.messages]
    match plan.fault and plan.fault.kind:
        case "wrong_count":
            vectors.pop()
        case "wrong_dimension":
            vectors[0].pop()
        case "nan":
            vectors[0][0] = float("nan")
        case "zero":
            vectors[0] = [0.0] * dimensions
        case _:
            pass
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": asked.model, "usage": plan.usage}


def _ranking(asked: ChatRequest, plan: Plan) -> dict[str, Any]:
    """By the share of the query's words that a text has, or the scores of the rule; best first, as rankers answer."""
    words = set(str(asked.body["query"]).lower().split())
    texts = [set(str(text).lower().split()) for text in asked.body["documents"]]
    scores: list[float] = plan.data or [len(words & text) / max(1, len(words)) for text in texts]
    match plan.fault and plan.fault.kind:
        case "wrong_count":
            scores = scores[:-1]
        case "nan" | "zero" | "wrong_dimension":
            scores = [float("nan"), *scores[1:]]
        case _:
            pass
    results = [{"index": n, "relevance_score": score} for n, score in enumerate(scores)]
    results.sort(key=lambda result: -result["relevance_score"])
    return {"model": asked.model, "results": results, "usage": plan.usage}


def _vector(text: str, dimensions: int = 384) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [(digest[i % 32] - 128) / 128 for i in range(dimensions)]


def _provider_error(fault: Fault, code: str) -> dict[str, Any]:
    return {"error": {"message": fault.message, "type": code, "code": code}}


def _json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, headers=headers, content_type="application/json")


def main() -> None:
    parser = parser_of("tests.fakes.model_server")
    parser.add_argument("--latency-ms", type=float, default=0)
    parser.add_argument("--chunks", type=int, default=4, help="pieces a streamed text is sent in")
    options = parser.parse_args()
    provider = FakeProvider(Script(options.latency_ms, options.chunks), Journal(options.journal))
    serve(provider.handle, options)


class FakeModelServer(FakeServer):
    """Starts and drives the fake provider from a test; use as a context manager.

    >>> with FakeModelServer() as provider:
    ...     provider.script({"match": "weather", "answer": "Rain.", "times": 1})
    """

    def __init__(self, latency_ms: float = 0, chunks: int = 4, journal: Path | None = None) -> None:
        options = ["--latency-ms", str(latency_ms), "--chunks", str(chunks)]
        options += ["--journal", str(journal)] if journal else []
        super().__init__("tests.fakes.model_server", *options)

    @property
    def base_url(self) -> str:
        """What a client of the OpenAI API is given."""
        return f"{self.url}/v1"

    def script(self, *rules: dict[str, Any], replace: bool = True) -> None:
        self.call("/_script", {"rules": list(rules), "replace": replace})

    def fail(self, kind: str, times: int | None = None, path: str = "chat", **details: Any) -> None:
        """Mistreats the next `times` requests (all of them without it), then the rules go on as before."""
        self.script({"fault": {"kind": kind, **details}, "times": times, "path": path})

    def journal(self, path: str | None = "chat") -> list[dict[str, Any]]:
        requests: list[dict[str, Any]] = self.call("/_journal")["requests"]
        return [r for r in requests if path is None or r["path"] == path]

    def stats(self) -> dict[str, int]:
        return self.call("/_stats")


if __name__ == "__main__":
    main()
