"""Anthropic's, Google's and Ollama's APIs as far as one answer goes, to see their chat models speak to a wire."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class VendorServer:
    """`requests` holds (path, headers, body) of all that came; `answer` is what the next ones get."""

    url: str = ""
    requests: list[tuple[str, dict[str, str], Any]] = field(default_factory=list[tuple[str, dict[str, str], Any]])
    text: str = "Hello there"
    tool: tuple[str, dict[str, Any]] | None = None
    cut: bool = False
    status: int = 200
    hang: bool = False
    compressed: bool = False
    # What every text gets, if it is embeddings that are asked for.
    embeddings: list[list[float]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests.append((request.path_qs, headers, body))
        if self.hang:
            await asyncio.sleep(5)
        if self.status != 200:
            error = {"error": {"type": "x", "message": "not today", "code": self.status, "status": "NO"}}
            return web.json_response(error, status=self.status, headers={"Retry-After": "0.2"})
        if self.embeddings is not None:
            return web.json_response(self._embedded(request.path))
        lines = self._lines(request.path, body)
        if self.cut:
            lines = lines[: len(lines) - 1 - len(lines) // 3]
        kind = "application/x-ndjson" if request.path.startswith("/api/") else "text/event-stream"
        response = web.StreamResponse(headers={"Content-Type": kind})
        if self.compressed:
            response.headers["Content-Encoding"] = "gzip"
        await response.prepare(request)
        for line in lines:
            await response.write(line.encode())
        await response.write_eof()
        return response

    def _lines(self, path: str, body: Any) -> list[str]:
        if path.startswith("/v1/messages"):
            return [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in self._anthropic()]
        if path.startswith("/v1beta/"):
            return [f"data: {json.dumps(event)}\r\n\r\n" for event in self._google()]
        return [
            json.dumps({"model": body["model"], "created_at": "2026-01-01T00:00:00Z", **event}) + "\n"
            for event in self._ollama()
        ]

    def _embedded(self, path: str) -> dict[str, Any]:
        vectors = self.embeddings or []
        if path.startswith("/v1beta/"):
            return {"embeddings": [{"values": vector} for vector in vectors]}
        if path.startswith("/api/"):
            return {"model": "m", "embeddings": vectors, "prompt_eval_count": 11}
        data = [{"index": n, "embedding": vector} for n, vector in enumerate(vectors)]
        return {"data": data[::-1], "usage": {"prompt_tokens": 11, "total_tokens": 11}}

    def _halves(self) -> tuple[str, str]:
        middle = len(self.text) // 2
        return self.text[:middle], self.text[middle:]

    def _anthropic(self) -> list[dict[str, Any]]:
        start = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": []}
        start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
        events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
        block: dict[str, Any] = {"type": "text", "text": ""}
        deltas: list[dict[str, Any]] = [{"type": "text_delta", "text": half} for half in self._halves()]
        if self.tool:
            name, arguments = self.tool
            block = {"type": "tool_use", "id": "toolu_1", "name": name, "input": {}}
            written = json.dumps(arguments)
            deltas = [{"type": "input_json_delta", "partial_json": p} for p in (written[:4], written[4:])]
        events.append({"type": "content_block_start", "index": 0, "content_block": block})
        events += [{"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": 0})
        reason = {"stop_reason": "tool_use" if self.tool else "end_turn", "stop_sequence": None}
        events.append({"type": "message_delta", "delta": reason, "usage": {"input_tokens": 11, "output_tokens": 7}})
        return [*events, {"type": "message_stop"}]

    def _google(self) -> list[dict[str, Any]]:
        usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
        parts: list[dict[str, Any]] = [{"text": half} for half in self._halves()]
        if self.tool:
            parts = [{"functionCall": {"name": self.tool[0], "args": self.tool[1]}}]
        events: list[dict[str, Any]] = [
            {"candidates": [{"content": {"parts": [part], "role": "model"}, "index": 0}]} for part in parts
        ]
        last = {"candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "finishReason": "STOP"}]}
        return [*events, {**last, "usageMetadata": usage}]

    def _ollama(self) -> list[dict[str, Any]]:
        pieces: list[dict[str, Any]] = [{"content": half} for half in self._halves()]
        if self.tool:
            pieces = [{"content": "", "tool_calls": [{"function": {"name": self.tool[0], "arguments": self.tool[1]}}]}]
        events: list[dict[str, Any]] = [{"message": {"role": "assistant", **p}, "done": False} for p in pieces]
        done = {"done": True, "done_reason": "stop", "prompt_eval_count": 11, "eval_count": 7}
        return [*events, {"message": {"role": "assistant", "content": ""}, **done}]


@asynccontextmanager
async def vendor_server() -> AsyncIterator[VendorServer]:
    server = VendorServer()
    app = web.Application()
    app.router.add_post("/{tail:.*}", server.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield server
    finally:
        await runner.cleanup()
