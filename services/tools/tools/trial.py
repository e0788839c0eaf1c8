"""One call of a tool outside any execution, to see what it does."""

import time
from uuid import UUID

from services.tools.tools import service
from services.tools.tools.errors import ToolNeedsConfirmation
from services.tools.tools.schemas import ToolError, ToolTried, ToolTry
from shared.auth.principal import Principal
from shared.kit.ids import new_id
from shared.tools.definitions import ToolDefinition
from shared.tools.errors import ToolRefused
from shared.tools.http import use_tool
from shared.tools.outbound import OutboundFailed
from shared.tools.records import definition_of
from shared.web.resources import Resources
from shared.workflow.states import Effect


async def run(app: Resources, caller: Principal, tool_id: UUID, request: ToolTry) -> ToolTried:
    """Holds no database connection while the other system thinks."""
    async with app.database.read(caller.scope) as session:
        tool = ToolDefinition.model_validate(definition_of(await service.find(session, tool_id)))
    if tool.effect is Effect.ONCE and not request.confirm:
        raise ToolNeedsConfirmation
    begun = time.monotonic()
    status: int | None = None
    text, error = "", None
    try:
        result = await use_tool(app.outbound, caller.tenant_id, tool, request.arguments, f"try:{new_id()}")
        status, text = result.status, result.text
    except ToolRefused as refused:
        status, text = refused.status, f"Error: {refused}"
        error = ToolError(code="tool_refused", message=str(refused), retryable=False)
    except OutboundFailed as failed:
        status = failed.status
        error = ToolError(code=failed.code, message=failed.message, retryable=failed.retryable)
    latency = round((time.monotonic() - begun) * 1000)
    return ToolTried(status=status, latency_ms=latency, text=text, error=error)
