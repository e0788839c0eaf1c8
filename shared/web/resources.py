"""What a process holds once and all its services share: settings, database, broker, keys."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from shared.auth.authenticator import Authenticator
from shared.auth.tokens import KeyRing, TokenIssuer
from shared.database.session import Database
from shared.events.hub import Hub
from shared.kit.settings import Settings
from shared.knowledge.embedding import Embedders
from shared.knowledge.index import VectorIndex
from shared.llm.accounts import Accounts
from shared.llm.client import LanguageModels
from shared.llm.tenant import TenantModels
from shared.net.policy import EgressPolicy
from shared.security.encryption import Cipher
from shared.tasks.doorbell import Doorbell
from shared.tools.outbound import Outbound
from shared.web.throttle import Throttle


@dataclass(frozen=True, slots=True)
class Resources:
    settings: Settings
    database: Database
    redis: Redis
    cipher: Cipher
    keys: KeyRing
    tokens: TokenIssuer
    authenticator: Authenticator
    throttle: Throttle
    doorbell: Doorbell
    hub: Hub
    vectors: VectorIndex
    models: LanguageModels
    tenant_models: TenantModels
    embedders: Embedders
    outbound: Outbound


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncGenerator[Resources]:
    """Opened by the outermost lifespan of a process, after any fork, and closed by it."""
    database = Database(settings.app_database_url.get_secret_value(), pool_size=settings.database_pool_size)
    broker_url = settings.broker_url.get_secret_value()
    redis: Redis = Redis.from_url(  # pyright: ignore[reportUnknownMemberType] - redis-py leaves **kwargs untyped
        broker_url, socket_timeout=5, socket_connect_timeout=2
    )
    cipher = Cipher.from_setting(settings.master_keys.get_secret_value())
    doorbell = Doorbell(redis)
    life = timedelta(seconds=settings.access_token_seconds)
    keys = KeyRing(database, cipher, life)
    tokens = TokenIssuer(keys, settings.token_issuer, life)
    hub = Hub(broker_url)
    vectors = VectorIndex(settings.chroma_url)
    models = LanguageModels.from_settings(settings)
    tenant_models = TenantModels(database, cipher, models, Accounts(database))
    outbound = Outbound(database, cipher, EgressPolicy.from_setting(settings.allowed_hosts))
    try:
        yield Resources(
            settings=settings,
            database=database,
            redis=redis,
            cipher=cipher,
            keys=keys,
            tokens=tokens,
            authenticator=Authenticator(database, tokens),
            throttle=Throttle(broker_url, redis),
            doorbell=doorbell,
            hub=hub,
            vectors=vectors,
            models=models,
            tenant_models=tenant_models,
            embedders=Embedders(settings.cache, tenant_models),
            outbound=outbound,
        )
    finally:
        await outbound.close()
        await models.close()
        await vectors.close()
        await hub.close()
        await doorbell.close()
        await redis.aclose()
        await database.close()


async def get_resources(connection: HTTPConnection) -> Resources:
    return connection.app.state.resources
