"""A tenant's own tools: what defines one, and what can be wrong with it."""

import re
from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from shared.kit.json import Json, JsonObject
from shared.workflow.configs.outside import BODILESS, Method
from shared.workflow.expressions import ExpressionError, Template, compile_template
from shared.workflow.inputs import check_schema
from shared.workflow.requests import (
    DEFAULT_BYTES,
    DEFAULT_TIMEOUT_MS,
    LONGEST_TIMEOUT_MS,
    MAX_HEADERS,
    MOST_BYTES,
    HeaderName,
)
from shared.workflow.states import Effect
from shared.workflow.texts import ConnectionId, TemplateText

# What models' providers all take, and what can be written in a list of names.
TOOL_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
MAX_TEMPLATES = 200
# What the templates of a tool may refer to.
ROOTS = ("arguments",)
# A credential in a definition would be shown to everybody who may read it, and be in every snapshot.
_CREDENTIAL = frozenset(("authorization", "cookie"))


class Definition(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class HttpToolConfig(Definition):
    """One request, made of the arguments: every text is a template over `arguments` and nothing else.

    A text that is one placeholder and nothing else stands for its value; what is null then is left out of `headers`,
    `query` and the fields of `json`. What placeholders put into the URL is percent-encoded, save that of one which
    it begins with. `json` is sent as JSON, `body` as text.
    """

    method: Method = "GET"
    url: TemplateText = Field(min_length=1)
    headers: dict[HeaderName, TemplateText] = Field(default={}, max_length=MAX_HEADERS)
    query: dict[str, TemplateText] = Field(default={}, max_length=100)
    json_value: Any = Field(default=None, alias="json")
    body: TemplateText | None = None
    connection_id: ConnectionId | None = None
    timeout_ms: int = Field(default=DEFAULT_TIMEOUT_MS, ge=1, le=LONGEST_TIMEOUT_MS)
    max_bytes: int = Field(default=DEFAULT_BYTES, ge=1, le=MOST_BYTES)
    result: Literal["text", "json"] = "text"

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.json_value is not None and self.body is not None:
            raise ValueError("give either json or body")
        if self.method in BODILESS and (self.json_value is not None or self.body is not None):
            raise ValueError(f"a {self.method} request has no body: remove json and body")
        return self

    def dump(self) -> JsonObject:
        return self.model_dump(mode="json", by_alias=True)


class ToolDefinition(Definition):
    """What a snapshot keeps of a tool of the tenant's own."""

    id: str
    kind: Literal["http"]
    description: str
    parameters: JsonObject
    effect: Effect
    needs_approval: bool
    config: HttpToolConfig

    def dump(self) -> JsonObject:
        return self.model_dump(mode="json", by_alias=True)


def problems_of(parameters: JsonObject, config: HttpToolConfig) -> Iterator[tuple[str, str]]:
    """Field and complaint of everything that would keep the tool from being used."""
    if parameters.get("type") != "object":
        yield "parameters.type", 'must be "object"'
    for complaint in check_schema(parameters):
        yield "parameters", complaint
    for name in config.headers:
        if name.lower() in _CREDENTIAL:
            yield f"config.headers.{name}", "everybody could read it here: keep the credential in a connection"
    templates = list(templates_of(config))
    if len(templates) > MAX_TEMPLATES:
        yield "config", f"there are more than {MAX_TEMPLATES} texts in it"
        return
    known = _known_arguments(parameters)
    for field, source in templates:
        try:
            template = compile_template(source, ROOTS)
        except ExpressionError as broken:
            yield f"config.{field}", broken.message
            continue
        yield from ((f"config.{field}", complaint) for complaint in _complaints(template, known))


def _complaints(template: Template, known: frozenset[str] | None) -> Iterator[str]:
    for path in template.paths:
        if known is not None and len(path) > 1 and path[1] not in known:
            yield f"the parameters have no {path[1]!r}"


def _known_arguments(parameters: JsonObject) -> frozenset[str] | None:
    """None when the schema lets any name through."""
    properties = parameters.get("properties", {})
    if not isinstance(properties, dict) or "patternProperties" in parameters or "$ref" in parameters:
        return None
    return None if parameters.get("additionalProperties") else frozenset(properties)  # pyright: ignore[reportUnknownArgumentType]


def templates_of(config: HttpToolConfig) -> Iterator[tuple[str, str]]:
    """Field and source of every text that is a template."""
    yield "url", config.url
    for part in ("headers", "query"):
        texts: dict[str, str] = getattr(config, part)
        yield from ((f"{part}.{name}", source) for name, source in texts.items())
    if config.body is not None:
        yield "body", config.body
    yield from _in_json(config.json_value, "json")


def _in_json(value: Json, field: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield field, value
        case dict():
            for key, each in value.items():
                yield from _in_json(each, f"{field}.{key}")
        case list():
            for index, each in enumerate(value):
                yield from _in_json(each, f"{field}.{index}")
        case _:
            pass
