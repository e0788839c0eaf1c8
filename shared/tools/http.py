"""Using a tenant's own tool: a request made of the arguments, and what is told of the answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.kit.json import Json, JsonObject, dumps
from shared.tools.definitions import ROOTS, HttpToolConfig, ToolDefinition
from shared.tools.errors import ToolInputError, ToolRefused
from shared.tools.outbound import Outbound, OutboundFailed, Outgoing, Reply
from shared.workflow.expressions import ExpressionError, Meter, compile_template
from shared.workflow.inputs import check_inputs, with_defaults
from shared.workflow.requests import RequestInvalid, check_headers, full_url
from shared.workflow.states import Effect

_SHOWN_PROBLEMS = 5
_SHOWN_ANSWER = 2_000


@dataclass(frozen=True, slots=True)
class ToolResult:
    status: int
    text: str


async def use_tool(
    outbound: Outbound, tenant_id: UUID, tool: ToolDefinition, arguments: JsonObject, idempotency_key: str
) -> ToolResult:
    """One request. Raises `ToolRefused` for what would be so again, `OutboundFailed` for what may be different then."""
    request = compose(tool, arguments)
    key = None if tool.effect is Effect.READ else idempotency_key
    reply = await outbound.send(tenant_id, request, key)
    return _result(tool.config, reply)


def compose(tool: ToolDefinition, arguments: JsonObject) -> Outgoing:
    """Raises `ToolInputError`."""
    complaints = [each.message for each in check_inputs(tool.parameters, arguments, "arguments")]
    if complaints:
        raise ToolInputError("; ".join(complaints[:_SHOWN_PROBLEMS]))
    try:
        return _Composer(tool, arguments).request()
    except ExpressionError as broken:
        raise ToolInputError(f"no request can be made of these arguments: {broken.message}") from None
    except RequestInvalid as broken:
        raise ToolInputError(str(broken)) from None


class _Composer:
    def __init__(self, tool: ToolDefinition, arguments: JsonObject) -> None:
        self._config = tool.config
        declared: Mapping[str, Any] = tool.parameters.get("properties") or {}
        # What may be left out is null then, so that a template can name it.
        self._scope = {"arguments": {**dict.fromkeys(declared), **with_defaults(tool.parameters, arguments)}}
        self._meter = Meter()

    def request(self) -> Outgoing:
        config = self._config
        url = compile_template(config.url, ROOTS).render_url(self._scope, self._meter)
        headers = self._texts(config.headers)
        check_headers(headers)
        body, content_type = self._body()
        if content_type is not None and not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = content_type
        return Outgoing(
            method=config.method,
            url=full_url(url, self._texts(config.query).items()),
            headers=headers,
            body=body,
            timeout=config.timeout_ms / 1000,
            max_bytes=config.max_bytes,
            connection_id=config.connection_id,
        )

    def _body(self) -> tuple[bytes | None, str | None]:
        if self._config.json_value is not None:
            return dumps(self._value(self._config.json_value)).encode(), "application/json"
        if self._config.body is not None:
            text = compile_template(self._config.body, ROOTS).render(self._scope, self._meter)
            return text.encode("utf-8", "replace"), "text/plain; charset=utf-8"
        return None, None

    def _texts(self, sources: Mapping[str, str]) -> dict[str, str]:
        values = {name: self._value(source) for name, source in sources.items()}
        return {
            name: value if isinstance(value, str) else dumps(value)
            for name, value in values.items()
            if value is not None
        }

    def _value(self, source: Json) -> Json:
        match source:
            case str():
                template = compile_template(source, ROOTS)
                if template.whole is not None:
                    return template.whole.evaluate(self._scope, self._meter)
                return template.render(self._scope, self._meter)
            case dict():
                fields = {name: (each, self._value(each)) for name, each in source.items()}
                return {name: value for name, (each, value) in fields.items() if value is not None or each is None}
            case list():
                return [self._value(each) for each in source]
            case _:
                return source


def _result(config: HttpToolConfig, reply: Reply) -> ToolResult:
    if reply.status >= 300:
        told = f"{reply.source} answered {reply.status}: {reply.text[:_SHOWN_ANSWER] or 'nothing more'}"
        if reply.passes:
            raise OutboundFailed(
                told,
                code=f"http_{reply.status}",
                source=reply.source,
                retryable=True,
                retry_after=reply.retry_after,
                status=reply.status,
            )
        raise ToolRefused(told, reply.status)
    if config.result == "json":
        if reply.data is None and reply.text.strip() != "null":
            raise ToolRefused(f"{reply.source} did not answer with JSON: {reply.text[:_SHOWN_ANSWER]}", reply.status)
        return ToolResult(reply.status, dumps(reply.data))
    return ToolResult(reply.status, reply.text)
