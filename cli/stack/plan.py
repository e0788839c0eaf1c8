"""Decides what a stack is made of: which components are embedded, which are brought, where each one listens."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cli.stack.chroma import Chroma
from cli.stack.component import Component
from cli.stack.environment import LOCAL_MODEL_NAME, Addresses, External, build_environment
from cli.stack.errors import StackError
from cli.stack.layout import Home, cache_directory
from cli.stack.llm import LanguageModel
from cli.stack.ports import LOOPBACK, PortBook
from cli.stack.postgres import Postgres
from cli.stack.product import SERVICES, WebProcess, Worker, one_process, one_process_each
from cli.stack.secrets import load_or_create
from cli.stack.valkey import Valkey
from cli.stack.weights import LANGUAGE_MODELS, LanguageWeights

_DEFAULT_PORTS = {"postgresql": 5432, "postgres": 5432, "redis": 6379, "rediss": 6379, "http": 80, "https": 443}


@dataclass(frozen=True)
class Options:
    """What the person chose."""

    port: int
    split: bool
    local_model: str
    """qwen, smollm or none."""


@dataclass(frozen=True)
class Plan:
    """Everything that one stack consists of. Making it starts nothing."""

    home: Home
    cache: Path
    port: int
    url: str
    split: bool
    database: Postgres | None
    broker: Valkey | None
    vectors: Chroma | None
    model: LanguageModel | None
    weights: LanguageWeights | None
    web: list[WebProcess]
    worker: Worker
    environment: dict[str, str]
    brought: dict[str, str]
    """Addresses that the operator gave, by the name of their variable."""

    @property
    def in_order_of_stopping(self) -> list[list[Component]]:
        """The product first, the database last."""
        middle = [part for part in (self.model, self.vectors, self.broker) if part is not None]
        return [[*self.web, self.worker], [*middle], [self.database] if self.database else []]

    @property
    def components(self) -> list[Component]:
        return [part for group in reversed(self.in_order_of_stopping) for part in group]


def make_plan(home: Home, options: Options) -> Plan:
    """The caller holds the data directory: this makes its secrets and claims its ports."""
    return _Planner(home, options).plan()


class _Planner:
    def __init__(self, home: Home, options: Options) -> None:
        self._home = home
        self._options = options
        self._external = External.from_environment()
        self._secrets = load_or_create(home)
        self._ports = PortBook(home.ports_file)
        self._cache = cache_directory()

    def plan(self) -> Plan:
        database, broker, vectors = self._database(), self._broker(), self._vectors()
        weights = None if self._external.llm_base_url else LANGUAGE_MODELS.get(self._options.local_model)
        model = self._model(weights) if weights else None
        addresses = Addresses(
            database_url=database.url if database else self._external.database_url,
            broker_url=broker.url if broker else self._external.broker_url,
            chroma_url=vectors.url if vectors else self._external.chroma_url,
            llm_base_url=model.url if model else self._external.llm_base_url,
            public_url=f"http://{LOOPBACK}:{self._options.port}",
        )
        service_ports = {name: self._ports.claim(name) for name in SERVICES} if self._options.split else {}
        environment = self._environment(addresses, service_ports)
        return Plan(
            home=self._home,
            cache=self._cache,
            port=self._options.port,
            url=addresses.public_url,
            split=self._options.split,
            database=database,
            broker=broker,
            vectors=vectors,
            model=model,
            weights=weights,
            web=self._web(service_ports, environment),
            worker=Worker(environment=environment, log=self._home.log_of("worker"), port=self._ports.claim("worker")),
            environment=environment,
            brought=self._external.given,
        )

    def _database(self) -> Postgres | None:
        if self._external.database_url:
            return None
        return Postgres(
            self._home.postgres,
            port=self._ports.claim("postgres"),
            password=self._secrets.postgres_password,
            log=self._home.log_of("postgres"),
        )

    def _broker(self) -> Valkey | None:
        if self._external.broker_url:
            return None
        return Valkey(
            self._home.valkey,
            port=self._ports.claim("valkey"),
            password=self._secrets.valkey_password,
            log=self._home.log_of("valkey"),
        )

    def _vectors(self) -> Chroma | None:
        if self._external.chroma_url:
            return None
        return Chroma(self._home.chroma, port=self._ports.claim("chroma"), log=self._home.log_of("chroma"))

    def _model(self, weights: LanguageWeights) -> LanguageModel:
        return LanguageModel(
            weights.path(self._cache),
            model=LOCAL_MODEL_NAME,
            port=self._ports.claim("llm"),
            api_key=self._secrets.llm_api_key,
            log=self._home.log_of("llm"),
        )

    def _environment(self, addresses: Addresses, service_ports: dict[str, int]) -> dict[str, str]:
        return build_environment(
            addresses,
            self._secrets,
            home=self._home.root,
            cache=self._cache,
            local_model=self._options.local_model,
            upstreams={name: f"http://{LOOPBACK}:{port}" for name, port in service_ports.items()},
        )

    def _web(self, service_ports: dict[str, int], environment: dict[str, str]) -> list[WebProcess]:
        if self._options.split:
            return one_process_each(self._options.port, service_ports, environment, self._home.logs)
        return one_process(self._options.port, environment, self._home.logs)


async def require_reachable(variable: str, url: str) -> None:
    """Fail early and by name when a server that the operator brings is not there."""
    advice = f"Start that server, correct the address, or unset {variable} to use the embedded one."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS[parts.scheme.split("+")[0]]
    except (ValueError, KeyError) as error:
        raise StackError(f"{variable} is not the address of a server.", advice) from error
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
    except (OSError, TimeoutError) as error:
        raise StackError(f"{variable} names {host}:{port}, where nothing answers.", advice) from error
    writer.close()
