from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from shared.kit.settings import Settings
from tests.fakes.model_server import FakeModelServer
from tests.support.product import Client, Composition, Product, run_product


@pytest.fixture(scope="session")
def provider() -> Generator[FakeModelServer]:
    with FakeModelServer() as server:
        yield server


@pytest.fixture(autouse=True)
def fresh_provider(provider: FakeModelServer) -> None:
    provider.reset()


@pytest.fixture(scope="module", params=["one", "split"])
async def product(
    request: pytest.FixtureRequest,
    settings: Settings,
    provider: FakeModelServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncGenerator[Product]:
    """The product with one worker, in both compositions one after the other."""
    composition: Composition = request.param
    logs = tmp_path_factory.mktemp(f"product-{composition}")
    async with run_product(settings, logs, provider, composition=composition) as running:
        yield running


@pytest.fixture(scope="module")
async def mortal(
    settings: Settings, provider: FakeModelServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncGenerator[Product]:
    """The product in one process, with no worker: tests that kill start their own."""
    logs: Path = tmp_path_factory.mktemp("mortal")
    async with run_product(settings, logs, provider, workers=0) as running:
        yield running


@pytest.fixture
async def ada(product: Product) -> Client:
    return await product.sign_up("Ada")
