"""A site in the web, in this process: pages with ETags, robots.txt, redirects, and every kind of trouble."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Page:
    """`moved` is where it went, `seconds` how long it takes, `status` what is said of it."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    moved: str | None = None
    seconds: float = 0
    has_etag: bool = True


@dataclass
class WebSite:
    pages: dict[str, Page] = field(default_factory=dict[str, Page])
    # What was asked for, with the status that was answered.
    visits: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    moments: list[float] = field(default_factory=list[float])
    agents: set[str] = field(default_factory=set[str])
    place: str = ""

    def url(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def put(self, path: str, body: str | bytes = b"", **fields: object) -> str:
        data = body.encode() if isinstance(body, str) else body
        self.pages[path] = Page(data, **fields)  # type: ignore[arg-type] - tests say what they mean
        return self.url(path)

    def visits_of(self, path: str) -> list[int]:
        return [status for visited, status in self.visits if visited == path]

    def reset(self) -> None:
        self.pages.clear()
        self.visits.clear()
        self.moments.clear()
        self.agents.clear()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        page = self.pages.get(request.path, Page(b"not here", status=404))
        response = self._response(request, page)
        self.visits.append((request.path, response.status))
        self.moments.append(time.monotonic())
        self.agents.add(request.headers.get("User-Agent", ""))
        await asyncio.sleep(page.seconds)
        return response

    def _response(self, request: web.BaseRequest, page: Page) -> web.Response:
        if page.moved is not None:
            return web.Response(status=302, headers={"Location": page.moved})
        headers = {"Content-Type": page.kind}
        if page.has_etag and page.status == 200:
            headers["ETag"] = f'"{hashlib.md5(page.body, usedforsecurity=False).hexdigest()}"'
            if request.headers.get("If-None-Match") == headers["ETag"]:
                return web.Response(status=304, headers=headers)
        return web.Response(status=page.status, body=page.body, headers=headers)


@asynccontextmanager
async def web_site() -> AsyncGenerator[WebSite]:
    site = WebSite()
    runner = web.ServerRunner(web.Server(site.answer, handler_cancellation=True))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    site.place = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield site
    finally:
        await runner.cleanup()
