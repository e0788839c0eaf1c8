from collections.abc import Generator

import pytest

from tests.gateway.support import Serving, SharedServer, running


@pytest.fixture(scope="package")
def shared_server() -> Generator[SharedServer]:
    shared = SharedServer()
    with running(shared, server_header=False) as port:
        shared.port = port
        yield shared


@pytest.fixture
def serving(shared_server: SharedServer) -> Serving:
    """`async with serving(proxy) as port`: the proxy behind a real server."""
    return shared_server.serving
