"""Nodes that turn to other systems."""

from typing import Literal, Self

from pydantic import Field, model_validator

from shared.workflow.configs.base import About, ItemName, NodeConfig
from shared.workflow.requests import (
    DEFAULT_BYTES,
    DEFAULT_TIMEOUT_MS,
    LONGEST_TIMEOUT_MS,
    MAX_HEADERS,
    MOST_BYTES,
    HeaderName,
)
from shared.workflow.states import CallKind, Effect
from shared.workflow.texts import Cel, ConnectionId, TemplateText, ToolName

Method = Literal["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]
BODILESS: frozenset[str] = frozenset(("GET", "HEAD", "OPTIONS"))


class ToolConfig(NodeConfig):
    """Uses one tool. Output: `{"text", "data"}`, `data` being null unless the text is JSON. Arguments whose value is
    null are left out.

    What a repeated call does is the tool's own matter; `needs_approval` is, unless it is said here.
    """

    about = About("Tool", calls=(CallKind.TOOL,), effect=None)

    tool: ToolName
    arguments: dict[ItemName, Cel] = Field(default={}, max_length=100)
    needs_approval: bool | None = None


class HttpConfig(NodeConfig):
    """Sends one request. Output: `{"status", "headers", "text", "data"}`, `data` being null unless the text is JSON.

    What placeholders put into the URL is percent-encoded, save that of one which it begins with; a header or a
    parameter that is one placeholder, and null, is left out. `json` is the value to send, `body` the text. An answer
    of status 400 and up fails the step, unless `fail_on_status` is false.
    """

    about = About("HTTP request", calls=(CallKind.HTTP,), effect=None)

    method: Method = "GET"
    url: TemplateText = Field(min_length=1)
    headers: dict[HeaderName, TemplateText] = Field(default={}, max_length=MAX_HEADERS)
    query: dict[ItemName, TemplateText] = Field(default={}, max_length=100)
    json_value: Cel | None = Field(default=None, alias="json")
    body: TemplateText | None = None
    effect: Effect | None = None
    connection_id: ConnectionId | None = None
    fail_on_status: bool = True
    timeout_ms: int = Field(default=DEFAULT_TIMEOUT_MS, ge=1, le=LONGEST_TIMEOUT_MS)
    max_bytes: int = Field(default=DEFAULT_BYTES, ge=1, le=MOST_BYTES)

    @model_validator(mode="after")
    def _one_body(self) -> Self:
        if self.json_value is not None and self.body is not None:
            raise ValueError("give either json or body")
        if self.method in BODILESS and (self.json_value is not None or self.body is not None):
            raise ValueError(f"a {self.method} request has no body: remove json and body")
        return self

    @property
    def resulting_effect(self) -> Effect:
        """As said; else what is true of most requests with this method."""
        return self.effect or (Effect.READ if self.method in BODILESS else Effect.ONCE)
