"""The product under test: real Postgres, Valkey and Chroma, the services' own apps with all their middleware."""

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.auth.module import SERVICE as AUTH
from shared.database.migrate import migrate
from shared.database.migrations.security import APP_ROLE
from shared.database.url import asyncpg_url
from shared.kit.ids import new_id
from shared.kit.settings import Settings
from shared.web.app import Service, create_app
from shared.web.resources import Resources, open_resources
from tests.fixtures.stack import Stack

APP_PASSWORD = "app-test"
PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Account:
    """A signed-in person of a tenant; `client` sends its token to whichever service made it."""

    user_id: UUID
    tenant_id: UUID
    email: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@dataclass
class Platform:
    resources: Resources
    settings: Settings
    _stack: AsyncExitStack
    _apps: dict[str, Any] = field(default_factory=dict[str, Any])

    async def client(self, service: Service, account: Account | None = None) -> httpx.AsyncClient:
        """A client of one service, with the account's token if given. Streams need a real server: not this."""
        if service.name not in self._apps:
            app = create_app(service, self.resources)
            await self._stack.enter_async_context(app.router.lifespan_context(app))
            self._apps[service.name] = app
        transport = httpx.ASGITransport(app=self._apps[service.name], raise_app_exceptions=False)
        client = httpx.AsyncClient(
            transport=transport,
            base_url=self.settings.public_url,
            headers=account.headers if account else {},
        )
        return await self._stack.enter_async_context(client)

    async def register(self, name: str = "Ada") -> Account:
        """A new person, owner of a new tenant, through the API."""
        client = await self.client(AUTH)
        email = f"{new_id().hex}@example.com"
        answer = await client.post(
            "/api/v1/auth/register", json={"email": email, "password": PASSWORD, "display_name": name}
        )
        assert answer.status_code == 201, answer.text
        return await self._account(client, email, answer.json()["access_token"])

    async def join(self, owner: Account, role: str) -> Account:
        """A new person with this role in the owner's tenant."""
        client = await self.client(AUTH)
        email = f"{new_id().hex}@example.com"
        body = {"email": email, "role": role, "display_name": role.title(), "password": PASSWORD}
        added = await client.post(f"/api/v1/tenants/{owner.tenant_id}/members", json=body, headers=owner.headers)
        assert added.status_code == 201, added.text
        answer = await client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 200, answer.text
        return await self._account(client, email, answer.json()["access_token"])

    async def _account(self, client: httpx.AsyncClient, email: str, token: str) -> Account:
        me = (await client.get("/api/v1/users/me", headers={"Authorization": f"Bearer {token}"})).json()
        return Account(UUID(me["id"]), UUID(me["tenant"]["id"]), email, token)


async def create_database(stack: Stack, name: str, template: str | None = None) -> tuple[str, str]:
    """A fresh migrated database, or a copy of `template`; gives the owner's and the application's URL of it."""
    server = create_async_engine(asyncpg_url(stack.database_url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
    async with server.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template or "template1"}"'))
    await server.dispose()
    owner = asyncpg_url(stack.database_url).set(database=name)
    app = owner.set(username=APP_ROLE, password=APP_PASSWORD)
    urls = owner.render_as_string(hide_password=False), app.render_as_string(hide_password=False)
    if template is None:
        await migrate(*urls)
    return urls


def settings_for(stack: Stack, owner_url: str, app_url: str, redis_database: int = 0) -> Settings:
    return Settings(
        database_url=SecretStr(owner_url),
        app_database_url=SecretStr(app_url),
        broker_url=SecretStr(f"{stack.broker_url.rsplit('/', 1)[0]}/{redis_database}"),
        chroma_url=stack.chroma_url,
        master_keys=SecretStr(f"test:{base64.b64encode(os.urandom(32)).decode()}"),
        public_url="http://quarterdeck.test",
    )


@asynccontextmanager
async def open_platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with AsyncExitStack() as stack:
        resources = await stack.enter_async_context(open_resources(settings))
        yield Platform(resources, settings, stack)
