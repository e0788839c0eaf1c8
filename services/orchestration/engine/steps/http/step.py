from collections.abc import Mapping

from services.orchestration.engine.ports import HttpRequest, StepFailed
from services.orchestration.engine.steps.base import (
    CallingStep,
    ExpressionField,
    StepContext,
    TemplateField,
    expression_failed,
)
from shared.kit.json import Json, JsonObject, dumps
from shared.workflow.configs.outside import HttpConfig
from shared.workflow.expressions import ExpressionError, Meter, Scope, compile_template
from shared.workflow.requests import RequestInvalid, check_headers, full_url

_JSON_TYPE = "application/json"


class HttpStep(CallingStep):
    def __init__(self, config: HttpConfig) -> None:
        self._config = config
        self._url = compile_template(config.url)
        self._headers = _fields("headers", config.headers)
        self._query = _fields("query", config.query)
        self._json = None if config.json_value is None else ExpressionField("json", config.json_value)
        self._body = None if config.body is None else TemplateField("body", config.body)

    def render(self, scope: Scope) -> JsonObject:
        meter = Meter()
        headers = _texts(self._headers, scope, meter)
        query = _texts(self._query, scope, meter)
        try:
            url = full_url(self._url.render_url(scope, meter), query.items())
            check_headers(headers)
        except ExpressionError as broken:
            raise expression_failed("url", broken) from None
        except RequestInvalid as broken:
            raise StepFailed(str(broken), code="request_invalid", retryable=False) from None
        return {"method": self._config.method, "url": url, **self._message(headers, scope, meter)}

    def _message(self, headers: dict[str, str], scope: Scope, meter: Meter) -> JsonObject:
        """Headers and body. JSON that is a text or null is written out: as a body these mean something else."""
        if self._body is not None:
            return {"headers": headers, "body": self._body.render(scope, meter)}
        if self._json is None:
            return {"headers": headers, "body": None}
        value = self._json.value(scope, meter)
        if not isinstance(value, str) and value is not None:
            return {"headers": headers, "body": value}
        if not any(name.lower() == "content-type" for name in headers):
            headers = {**headers, "Content-Type": _JSON_TYPE}
        return {"headers": headers, "body": dumps(value)}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        reply = await context.calls.http(
            HttpRequest(
                method=told["method"],
                url=told["url"],
                headers=told["headers"],
                body=told["body"],
                effect=config.resulting_effect,
                timeout=config.timeout_ms / 1000,
                max_bytes=config.max_bytes,
                connection_id=config.connection_id,
                fail_on_status=config.fail_on_status,
            )
        )
        return {"status": reply.status, "headers": reply.headers, "text": reply.text, "data": reply.data}


class _OptionalText:
    """A template; one that is a single placeholder and gives null is left out."""

    __slots__ = ("_name", "_template")

    def __init__(self, name: str, source: str) -> None:
        self._name = name
        self._template = compile_template(source)

    def text(self, scope: Scope, meter: Meter) -> str | None:
        try:
            whole = self._template.whole
            if whole is not None and whole.evaluate(scope, meter) is None:
                return None
            return self._template.render(scope, meter)
        except ExpressionError as broken:
            raise expression_failed(self._name, broken) from None


def _fields(part: str, sources: Mapping[str, str]) -> dict[str, _OptionalText]:
    return {name: _OptionalText(f"{part}.{name}", source) for name, source in sources.items()}


def _texts(fields: Mapping[str, _OptionalText], scope: Scope, meter: Meter) -> dict[str, str]:
    texts = {name: field.text(scope, meter) for name, field in fields.items()}
    return {name: text for name, text in texts.items() if text is not None}
