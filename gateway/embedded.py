"""The whole API in one process: the gateway, and behind it the services' own apps."""

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp

from gateway.app import build_gateway
from gateway.lifespan import Composed
from gateway.middleware.rate_limit import RateLimits
from services.agents.module import SERVICE as AGENTS
from services.analytics.module import SERVICE as ANALYTICS
from services.auth.module import SERVICE as AUTH
from services.execution_monitoring.module import SERVICE as EXECUTION_MONITORING
from services.inbox.module import SERVICE as INBOX
from services.knowledge_base.module import SERVICE as KNOWLEDGE_BASE
from services.models.module import SERVICE as MODELS
from services.orchestration.module import SERVICE as ORCHESTRATION
from services.tools.module import SERVICE as TOOLS
from services.workflows.module import SERVICE as WORKFLOWS
from shared.kit.logging import configure_logging
from shared.kit.settings import Settings, get_settings
from shared.web.app import Service, create_app
from shared.web.resources import open_resources
from shared.web.server import main as serve

SERVICES: tuple[Service, ...] = (
    AUTH,
    MODELS,
    AGENTS,
    KNOWLEDGE_BASE,
    TOOLS,
    WORKFLOWS,
    ORCHESTRATION,
    EXECUTION_MONITORING,
    INBOX,
    ANALYTICS,
)


@asynccontextmanager
async def compose(settings: Settings) -> AsyncGenerator[ASGIApp]:
    """All services share one set of resources; each one's startup runs, and is undone in the opposite order."""
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        limits = RateLimits(settings)
        stack.push_async_callback(limits.close)
        upstreams: dict[str, ASGIApp] = {}
        for service in SERVICES:
            part = create_app(service, resources)
            await stack.enter_async_context(part.router.lifespan_context(part))
            upstreams[service.name] = part
        yield build_gateway(resources, limits, upstreams)


@asynccontextmanager
async def _from_environment() -> AsyncGenerator[ASGIApp]:
    settings = get_settings()
    configure_logging(settings.log_level, settings.log_format)
    async with compose(settings) as gateway:
        yield gateway


app = Composed(_from_environment)

if __name__ == "__main__":
    serve(["gateway.embedded:app", *sys.argv[1:]])
