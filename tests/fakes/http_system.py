"""A fake system that tools and `http` nodes turn to, as a process of its own, with a journal of its own.

`python -m tests.fakes.http_system --port 0 --journal FILE` prints its address first. Whatever is asked of it is
journaled before it is answered; an answer says back what was asked, unless a rule says otherwise.

POST /_script   {"rules": [{"behave": KIND, "path": "/x", "times": 1, ...}], "replace": true}   the first that fits
GET  /_journal  every request received since the last reset
POST /_reset    forgets rules and journal
"""

import asyncio
import base64
import gzip
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from aiohttp import web

from tests.fakes.process import FakeServer
from tests.fakes.serving import parser_of, serve


@dataclass
class Rule:
    """`behave` is what is done with the next `times` requests (all of them without it) to `path` (any without it).

    answer (status, text or base64, headers), hang, drop, half, garbage, huge and gzip_bomb (bytes), redirect (to),
    echo; any of them after so many `seconds`.
    """

    behave: str = "echo"
    path: str | None = None
    times: int | None = None
    status: int = 200
    text: str = ""
    base64: str = ""
    headers: dict[str, str] | None = None
    seconds: float = 0
    bytes: int = 0
    to: str = ""

    def fits(self, path: str) -> bool:
        return self.times != 0 and self.path in (None, path)


class System:
    def __init__(self, journal: Path | None) -> None:
        self.rules: list[Rule] = []
        self.entries: list[dict[str, Any]] = []
        self._file: IO[bytes] | None = journal.open("ab", buffering=0) if journal else None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path.startswith("/_"):
            return await self._control(request)
        entry = await self._journaled(request)
        rule = next((rule for rule in self.rules if rule.fits(request.path)), Rule())
        if rule.times is not None:
            rule.times -= 1
        if rule.seconds:
            await asyncio.sleep(rule.seconds)
        answer = await _answer(request, entry, rule)
        entry["answered"] = True
        return answer

    async def _journaled(self, request: web.BaseRequest) -> dict[str, Any]:
        headers = {name.lower(): value for name, value in request.headers.items()}
        entry = {
            "n": len(self.entries) + 1,
            "at": time.time(),
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "url": str(request.rel_url),
            "headers": headers,
            "body": (await request.read()).decode("utf-8", "replace"),
            "key": headers.get("idempotency-key"),
        }
        if self._file:
            self._file.write(orjson.dumps(entry) + b"\n")
        self.entries.append(entry)
        return entry

    async def _control(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/_script":
            given = orjson.loads(await request.read())
            rules = [Rule(**rule) for rule in given["rules"]]
            self.rules = rules if given.get("replace", True) else [*rules, *self.rules]
        elif request.path == "/_reset":
            self.rules.clear()
            self.entries.clear()
        return _json({"requests": self.entries})


async def _answer(request: web.BaseRequest, entry: dict[str, Any], rule: Rule) -> web.StreamResponse:
    match rule.behave:
        case "answer":
            headers = {"Content-Type": "text/plain", **(rule.headers or {})}
            body = base64.b64decode(rule.base64) if rule.base64 else rule.text.encode()
            return web.Response(status=rule.status, body=body, headers=headers)
        case "redirect":
            return web.Response(status=302, headers={"Location": rule.to})
        case "huge":
            return web.Response(body=b"x" * rule.bytes, content_type="text/plain")
        case "gzip_bomb":
            headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
            return web.Response(body=gzip.compress(bytes(rule.bytes)), headers=headers)
        case "half":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b"only the beginn")
            return _cut(request)
        case "garbage":
            assert request.transport is not None
            request.transport.write(b"what is this?\r\n\r\n")
            return _cut(request)
        case "drop":
            return _cut(request)
        case "hang":
            await asyncio.Event().wait()
        case _:
            pass
    return _json({key: entry[key] for key in ("method", "path", "query", "headers", "body")})


def _cut(request: web.BaseRequest) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.close()
    raise ConnectionResetError


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def main() -> None:
    options = parser_of("tests.fakes.http_system").parse_args()
    serve(System(options.journal).handle, options)


class FakeHttpSystem(FakeServer):
    """Starts and drives the fake system from a test; use as a context manager.

    >>> with FakeHttpSystem() as system:
    ...     system.script({"behave": "answer", "status": 503, "headers": {"Retry-After": "1"}, "times": 1})
    """

    def __init__(self, journal: Path | None = None) -> None:
        super().__init__("tests.fakes.http_system", *(("--journal", str(journal)) if journal else ()))

    @property
    def place(self) -> str:
        """Host and port."""
        return self.url.removeprefix("http://")

    def script(self, *rules: dict[str, Any], replace: bool = True) -> None:
        self.call("/_script", {"rules": list(rules), "replace": replace})

    def journal(self) -> list[dict[str, Any]]:
        return self.call("/_journal")["requests"]

    def keys(self) -> Counter[str | None]:
        """How often each idempotency key came."""
        return Counter(entry["key"] for entry in self.journal())


if __name__ == "__main__":
    main()
