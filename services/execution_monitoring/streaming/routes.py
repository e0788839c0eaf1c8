from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, WebSocket

from services.execution_monitoring.streaming.feed import Watch, feed
from services.execution_monitoring.streaming.websocket import refuse, send_events
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import ExecutionNotFound
from shared.executions.reading import require_execution
from shared.kit.json import JsonObject, dumps
from shared.web.dependencies import App, Caller, requires
from shared.web.errors import responses
from shared.web.resources import Resources
from shared.web.streaming import Admission, Authorization, EventStreamResponse, server_sent_events

router = APIRouter(tags=["executions"])

Reader = Annotated[Principal, Depends(requires(Permission.EXECUTIONS_READ))]
After = Annotated[int, Query(ge=0, lt=2**63, description="The `seq` of the last event seen.")]
LastEventId = Annotated[int | None, Header(ge=0, lt=2**63, description="As `after`; goes before it.")]

_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "`id:` is the event's seq, `event:` its type, `data:` the event. Ends after `done`.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/executions/{execution_id}/events",
    response_class=EventStreamResponse,
    responses=_STREAM | responses(NotAllowed, ExecutionNotFound),
)
async def stream_events(
    execution_id: UUID,
    app: App,
    caller: Reader,
    after: After = 0,
    last_event_id: LastEventId = None,
    authorization: Authorization = None,
) -> EventStreamResponse:
    """Everything that happened in the execution after `after`, and what happens from now on, as it happens.

    An event is `{"seq", "type", "at", "step": {"node", "path", "attempt"} | null, "data": {...}}`. `path` is empty
    but in the bodies of maps and loops: `each[3]/inner[0]` is the first iteration of `inner` within the fourth of
    `each`.

    | type | `data` |
    |---|---|
    | `execution.status` | `status`, `pause_requested`; when queued anew `reason`: `answered` (or due), `worker_lost` |
    | `step.started` | `name`, `type`; once more when a step goes on after it waited |
    | `step.waiting` | `kind`, `title`, `due_at`, `request`, `wait`: the inbox item's, or the child execution's, id |
    | `step.finished` | `status`, `output`, `error`, `duration_ms` |
    | `step.skipped` | |
    | `message.delta`, `reasoning.delta` | `text`, `call`, `agent` |
    | `tool.call`, `tool.result` | `call`, `name`, and `arguments` or `result` |
    | `usage` | of a model call: `model`, `input_tokens`, `output_tokens`, `cost` |
    | `log` | `level`, `message` |
    | `done` | the last one: `status`, `output`, `error` |

    What is large in `data` is cut, and named under `truncated`: it is whole in the execution, its steps and its calls.
    If some events were removed by the tenant's policy, the first line is of type `pruned`; it says which kinds, and
    before which `seq`.
    A WebSocket at `/executions/{execution_id}/ws` sends the same, one event a message, and takes `after` too.
    """
    admission = Admission(caller, authorization, Permission.EXECUTIONS_READ)
    watch = Watch(admission, execution_id, after if last_event_id is None else last_event_id)
    await _require(app, watch)
    return EventStreamResponse(server_sent_events(feed(app, watch), _encode))


@router.websocket("/executions/{execution_id}/ws")
async def watch_events(
    execution_id: UUID,
    socket: WebSocket,
    app: App,
    caller: Caller,
    after: After = 0,
    authorization: Authorization = None,
) -> None:
    watch = Watch(Admission(caller, authorization, Permission.EXECUTIONS_READ), execution_id, after)
    try:
        if not caller.may(Permission.EXECUTIONS_READ):
            raise NotAllowed
        await _require(app, watch)
    except (NotAllowed, ExecutionNotFound) as error:
        await refuse(socket, error)
        return
    await send_events(socket, app, watch)


async def _require(app: Resources, watch: Watch) -> None:
    """Before the answer begins: afterwards there is no status to send."""
    async with app.database.read(watch.admission.caller.scope) as session:
        await require_execution(session, watch.execution_id)


def _encode(event: JsonObject) -> str:
    # JSON has no line breaks of its own, so one data line is enough.
    return f"id: {event['seq']}\nevent: {event['type']}\ndata: {dumps(event)}\n\n"
