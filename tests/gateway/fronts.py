"""The whole gateway before stand-in services, near (in its process) and far (behind the network)."""

import asyncio
import json
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import build_gateway
from gateway.lifespan import Composed
from gateway.middleware.rate_limit import RateLimits
from gateway.proxy import Proxy
from gateway.routing import SERVICES
from services.auth.module import SERVICE as AUTH
from shared.kit.settings import Settings
from shared.web.app import Service, create_app
from shared.web.resources import open_resources
from tests.gateway.support import running


class Echo:
    """A service that tells what reached it; the path's last part says what else to do."""

    def __init__(self) -> None:
        self.requests = 0
        self.left = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        if scope["path"].endswith("/openapi.json"):
            await _json(send, {"paths": {}, "components": {}})
            return
        self.requests += 1
        match scope["path"].rsplit("/", 1)[-1]:
            case "stream":
                await self._stream(receive, send)
            case "broken":
                raise RuntimeError("secret inside")
            case _:
                await self._tell(scope, receive, send)

    async def _tell(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        principal = scope.get("state", {}).get("principal")
        await _json(
            send,
            {
                "path": scope["path"],
                "query": scope["query_string"].decode(),
                "headers": [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]],
                "body": len(body),
                "principal": str(principal.user_id) if principal else None,
            },
        )

    async def _stream(self, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.left += 1


async def _json(send: Send, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"x-from-service", b"1"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": content})


@dataclass
class Front:
    """A running gateway. `echo` stands behind every path but those of auth, which is the real one."""

    port: int
    echo: Echo = field(default_factory=Echo)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def near(settings: Settings) -> Generator[Front]:
    echo = Echo()

    @asynccontextmanager
    async def compose() -> AsyncGenerator[ASGIApp]:
        async with AsyncExitStack() as stack:
            resources = await stack.enter_async_context(open_resources(settings))
            auth = create_app(AUTH, resources)
            await stack.enter_async_context(auth.router.lifespan_context(auth))
            limits = RateLimits(settings)
            stack.push_async_callback(limits.close)
            yield build_gateway(resources, limits, dict.fromkeys(SERVICES, echo) | {"auth": auth})

    with running(Composed(compose), server_header=False, proxy_headers=False) as port:
        yield Front(port, echo)


@contextmanager
def far(settings: Settings) -> Generator[Front]:
    echo = Echo()
    with ExitStack() as stack:
        echo_port = stack.enter_context(running(echo, lifespan="off"))
        auth_port = stack.enter_context(running(service_app(AUTH, settings)))
        proxied = dict.fromkeys(SERVICES, f"http://127.0.0.1:{echo_port}")
        proxied["auth"] = f"http://127.0.0.1:{auth_port}"

        @asynccontextmanager
        async def compose() -> AsyncGenerator[ASGIApp]:
            async with open_resources(settings) as resources:
                limits = RateLimits(settings)
                proxies = {name: Proxy(name, address) for name, address in proxied.items()}
                yield build_gateway(resources, limits, proxies)
                for proxy in proxies.values():
                    proxy.close()
                await limits.close()
                await asyncio.sleep(0.05)

        yield Front(stack.enter_context(running(Composed(compose), server_header=False, proxy_headers=False)), echo)


def service_app(service: Service, settings: Settings) -> ASGIApp:
    """A service as it runs alone, with resources of its own."""

    @asynccontextmanager
    async def compose() -> AsyncGenerator[ASGIApp]:
        async with open_resources(settings) as resources:
            app = create_app(service, resources)
            async with app.router.lifespan_context(app):
                yield app

    return Composed(compose)


FRONTS = {"near": near, "far": far}
