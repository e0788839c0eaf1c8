from typing import Any
from uuid import UUID

import httpx
import pytest

from services.agents.module import SERVICE
from shared.database.session import Scope
from shared.database.tables.knowledge import KnowledgeBase
from shared.database.tables.models import Model
from shared.kit.ids import new_id
from tests.support.platform import Account, Platform


class Things:
    """What an agent needs to be there, put into the database directly: other services own it."""

    def __init__(self, platform: Platform) -> None:
        self._database = platform.resources.database

    async def add(self, account: Account, row: Any) -> UUID:
        async with self._database.write(Scope(account.tenant_id, account.user_id)) as session:
            session.add(row)
            await session.flush()
            return row.id

    async def model(self, account: Account, **columns: Any) -> UUID:
        values = {
            "id": new_id(),
            "tenant_id": account.tenant_id,
            "name": f"Model {new_id().hex[-8:]}",
            "provider": "openai_compatible",
            "model": "scripted",
            "settings": {},
            "context_window": 8_000,
            "supports_tools": True,
        }
        return await self.add(account, Model(**values | columns))

    async def knowledge_base(self, account: Account) -> UUID:
        row = KnowledgeBase(
            id=new_id(),
            tenant_id=account.tenant_id,
            name=f"Base {new_id().hex[-8:]}",
            embedding_model="minilm",
            chunk_size=200,
            chunk_overlap=20,
        )
        return await self.add(account, row)


@pytest.fixture
def things(platform: Platform) -> Things:
    return Things(platform)


@pytest.fixture
async def client(platform: Platform) -> httpx.AsyncClient:
    return await platform.client(SERVICE)
