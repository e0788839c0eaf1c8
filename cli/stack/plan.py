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
    external = External.from_environment()
    secrets = load_or_create(home)
    ports = PortBook(home.ports_file)
    cache = cache_directory()
    database = (
        None
        if external.database_url
        else Postgres(
            home.postgres,
            port=ports.claim("postgres"),
            password=secrets.postgres_password,
            log=home.log_of("postgres"),
        )
    )
    broker = (
        None
        if external.broker_url
        else Valkey(
            home.valkey, port=ports.claim("valkey"), password=secrets.valkey_password, log=home.log_of("valkey")
        )
    )
    vectors = (
        None if external.chroma_url else Chroma(home.chroma, port=ports.claim("chroma"), log=home.log_of("chroma"))
    )
    weights = None if external.llm_base_url else LANGUAGE_MODELS.get(options.local_model)
    model = weights and LanguageModel(
        weights.path(cache),
        model=LOCAL_MODEL_NAME,
        port=ports.claim("llm"),
        api_key=secrets.llm_api_key,
        log=home.log_of("llm"),
    )
    service_ports = {name: ports.claim(name) for name in SERVICES} if options.split else {}
    addresses = Addresses(
        database_url=database.url if database else external.database_url,
        broker_url=broker.url if broker else external.broker_url,
        chroma_url=vectors.url if vectors else external.chroma_url,
        llm_base_url=model.url if model else external.llm_base_url,
        public_url=f"http://{LOOPBACK}:{options.port}",
    )
    environment = build_environment(
        addresses,
        secrets,
        home=home.root,
        cache=cache,
        local_model=options.local_model,
        upstreams={name: f"http://{LOOPBACK}:{port}" for name, port in service_ports.items()},
    )
    return Plan(
        home=home,
        cache=cache,
        port=options.port,
        url=addresses.public_url,
        split=options.split,
        database=database,
        broker=broker,
        vectors=vectors,
        model=model,
        weights=weights,
        web=(
            one_process_each(options.port, service_ports, environment, home.logs)
            if options.split
            else one_process(options.port, environment, home.logs)
        ),
        worker=Worker(environment=environment, log=home.log_of("worker"), port=ports.claim("worker")),
        environment=environment,
        brought=external.given,
    )


async def require_reachable(variable: str, url: str) -> None:
    """Fail early and by name when a server that the operator brings is not there."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme.split("+")[0], 0)
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), 5)
    except (OSError, TimeoutError, OverflowError) as error:
        raise StackError(
            f"{variable} names {host or '(no host)'}:{port}, where nothing answers.",
            f"Start that server, correct the address, or unset {variable} to use the embedded one.",
        ) from error
    writer.close()
