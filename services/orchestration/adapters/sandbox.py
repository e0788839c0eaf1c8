"""The engine's port to a place where users' code runs apart from everything."""

from services.orchestration.engine.ports import CallFailed, CodeReply, CodeRequest


class BubblewrapSandbox:
    """Implements `ports.Sandbox`."""

    async def run(self, request: CodeRequest) -> CodeReply:
        raise CallFailed("there is no sandbox on this worker", code="sandbox_missing", source="code", retryable=False)
