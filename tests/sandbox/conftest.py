from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from services.orchestration.adapters.sandbox import BubblewrapSandbox
from services.orchestration.engine.ports import CallFailed, CodeReply, CodeRequest

Run = Callable[..., Awaitable[CodeReply]]


@pytest.fixture(scope="session")
async def sandbox() -> BubblewrapSandbox:
    sandbox = BubblewrapSandbox()
    trouble = await sandbox.check()
    if trouble is not None:
        pytest.skip(trouble)
    return sandbox


@pytest.fixture
def run(sandbox: BubblewrapSandbox) -> Run:
    async def run_it(source: str, inputs: Any = None, *, timeout: float = 20.0, memory_mb: int = 128) -> CodeReply:
        return await sandbox.run(CodeRequest(source, inputs, timeout, memory_mb))

    return run_it


async def failure(run: Run, source: str, **more: Any) -> CallFailed:
    with pytest.raises(CallFailed) as raised:
        await run(source, **more)
    assert not raised.value.retryable
    assert raised.value.source == "code"
    return raised.value
