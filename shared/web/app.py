"""Makes the ASGI app of a service. Alone or mounted beside others, it is the same app."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

from shared.kit.logging import configure_logging
from shared.kit.settings import get_settings
from shared.web import errors, health
from shared.web.authentication import AuthenticationMiddleware
from shared.web.context import CorrelationMiddleware
from shared.web.resources import Resources, open_resources

PREFIX = "/api/v1"

Startup = Callable[[Resources], AbstractAsyncContextManager[None]]


@dataclass(frozen=True, slots=True)
class Service:
    """What a service's module.py declares.

    `public` are regular expressions of paths that need no sign-in. `startup` context managers run for the life
    of the app, after the resources are open. Routers are mounted under /api/v1, `root_routers` under nothing.
    """

    name: str
    routers: tuple[APIRouter, ...]
    public: tuple[str, ...] = ()
    startup: tuple[Startup, ...] = ()
    root_routers: tuple[APIRouter, ...] = ()


def create_app(service: Service, resources: Resources | None = None) -> FastAPI:
    """With `resources` given the caller opens and closes them, as the one-process composition does."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            opened = resources
            if opened is None:
                settings = get_settings()
                configure_logging(settings.log_level, settings.log_format)
                opened = await stack.enter_async_context(open_resources(settings))
            app.state.resources = opened
            for start in service.startup:
                await stack.enter_async_context(start(opened))
            yield

    app = FastAPI(
        title=f"Quarterdeck {service.name}",
        version="1",
        lifespan=lifespan,
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=f"{PREFIX}/docs",
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        responses={422: {"model": errors.ErrorResponse, "description": "`invalid`: The request is not valid."}},
    )
    if resources is not None:
        app.state.resources = resources
    errors.install(app)
    for router in service.routers:
        app.include_router(router, prefix=PREFIX)
    for router in (*service.root_routers, health.router):
        app.include_router(router)
    app.add_middleware(AuthenticationMiddleware, public=service.public)
    app.add_middleware(CorrelationMiddleware)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name
