"""The gateway of a cluster: every service is reached over the network, at its address in QUARTERDECK_UPSTREAMS."""

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from gateway.app import build_gateway
from gateway.lifespan import Composed
from gateway.middleware.rate_limit import RateLimits
from gateway.proxy import Proxy
from shared.kit.logging import configure_logging
from shared.kit.settings import Settings, get_settings
from shared.web.resources import open_resources
from shared.web.server import main as serve


@asynccontextmanager
async def compose(settings: Settings) -> AsyncGenerator[ASGIApp]:
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        limits = RateLimits(settings)
        stack.push_async_callback(limits.close)
        proxies = {service: Proxy(service, address) for service, address in settings.upstreams.items()}
        for proxy in proxies.values():
            stack.callback(proxy.close)
        yield build_gateway(resources, limits, proxies)


@asynccontextmanager
async def _from_environment() -> AsyncGenerator[ASGIApp]:
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    async with compose(settings) as gateway:
        yield gateway


app = Composed(_from_environment)

if __name__ == "__main__":
    serve(["gateway.main:app", *sys.argv[1:]])
