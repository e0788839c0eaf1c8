"""What the fake model provider answers: rules that match requests, and the plan of one answer."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, cast

FaultKind = Literal[
    "rate_limit", "error", "garbage", "truncate", "drop", "stall", "hang", "close",
    "wrong_count", "wrong_dimension", "nan", "zero",
]  # fmt: skip
FINAL_ANSWER = "final_answer"


@dataclass(frozen=True, slots=True)
class Fault:
    """How a request is mistreated.

    rate_limit  429 with `retry_after` (seconds or an HTTP date)
    error       HTTP `status` with a provider's error body
    garbage     200 with a body that is no JSON; a stream turns into garbage half way
    truncate    half of the answer, then a clean end without finish reason
    drop        half of the answer, then the connection is reset
    stall       half of the answer, then nothing more, connection open
    hang        nothing at all, connection open
    close       the connection is closed before any answer

    Of embeddings and rankings alone:
    wrong_count      the last one is missing
    wrong_dimension  the first is one number shorter
    nan              a number is NaN
    zero             the first says nothing
    """

    kind: FaultKind
    status: int = 500
    retry_after: str | None = None
    message: str = "scripted failure"


@dataclass(slots=True)
class Rule:
    """Applies to requests on which every given condition holds, at most `times` times, then steps aside."""

    # conditions: regular expressions, searched
    match: str | None = None  # in the text of all messages
    last: str | None = None  # in the last message
    role: str | None = None  # in the system message, where an agent's role stands
    model: str | None = None  # in the model's name
    has_tools: bool | None = None  # whether the request offers tools, native or by schema
    after_tools: int | None = None  # how many tool results it carries: replay-proof, unlike `times`
    path: str = "chat"
    times: int | None = None
    # the answer
    answer: str | None = None
    data: Any = None  # answered as JSON text; the scores of a ranking
    tool_calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reasoning: str = ""
    latency_ms: float | None = None
    chunks: int | None = None
    chunk_delay_ms: float = 0
    finish_reason: str | None = None
    usage: dict[str, int] | None = None
    fault: Fault | None = None
    used: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.fault, dict):
            self.fault = Fault(**cast(dict[str, Any], self.fault))

    def applies(self, request: "ChatRequest") -> bool:
        if self.times is not None and self.used >= self.times:
            return False
        return (
            self.path == request.path
            and (self.has_tools is None or self.has_tools == bool(request.tool_names))
            and (self.after_tools is None or self.after_tools == request.tool_results)
            and _found(self.model, request.model)
            and _found(self.role, request.system)
            and _found(self.last, request.last)
            and (self.match is None or _found(self.match, request.text))
        )


def _found(pattern: str | None, text: str) -> bool:
    return pattern is None or re.search(pattern, text, re.S) is not None


class ChatRequest:
    """A request's body as the rules look at it."""

    def __init__(self, path: str, body: dict[str, Any]) -> None:
        self.path = path
        self.body = body
        self.model: str = body.get("model") or ""
        self.messages: list[dict[str, Any]] = body.get("messages") or _as_messages(body)
        self.schema: dict[str, Any] | None = _response_schema(body)
        self.schema_tools = _tools_in(self.schema)

    @cached_property
    def text(self) -> str:
        return "\n".join(_text(m.get("content")) for m in self.messages)

    @property
    def last(self) -> str:
        return _text(self.messages[-1].get("content")) if self.messages else ""

    @cached_property
    def system(self) -> str:
        return "\n".join(_text(m.get("content")) for m in self.messages if m.get("role") == "system")

    @property
    def tool_results(self) -> int:
        return sum(m.get("role") == "tool" for m in self.messages)

    @cached_property
    def tool_names(self) -> list[str]:
        native = [tool["function"]["name"] for tool in self.body.get("tools") or []]
        return native or [name for name in self.schema_tools if name != FINAL_ANSWER]


@dataclass(slots=True)
class Plan:
    """One answer, decided."""

    text: str
    tool_calls: list[dict[str, Any]]
    reasoning: str
    finish_reason: str
    usage: dict[str, int]
    latency: float
    chunks: int
    chunk_delay: float
    fault: Fault | None
    data: Any = None


class Script:
    """The rules in force, and the answer where none applies."""

    def __init__(self, latency_ms: float = 0, chunks: int = 4) -> None:
        self.latency_ms = latency_ms
        self.chunks = chunks
        self.rules: list[Rule] = []

    def replace(self, rules: Iterable[dict[str, Any]]) -> None:
        self.rules = [Rule(**rule) for rule in rules]

    def extend(self, rules: Iterable[dict[str, Any]]) -> None:
        self.rules += [Rule(**rule) for rule in rules]

    def plan(self, request: ChatRequest) -> Plan:
        rule = next((r for r in self.rules if r.applies(request)), None) or Rule()
        rule.used += 1
        calls = [_native_call(call, n, request) for n, call in enumerate(rule.tool_calls)]
        text = _answer(rule, request)
        if calls and request.schema_tools:
            # A model steered by schema says its (one) tool call as JSON text.
            text, calls = json.dumps(rule.tool_calls[0]), []
        elif calls and rule.answer is None:
            text = ""
        return Plan(
            text=text,
            tool_calls=calls,
            reasoning=rule.reasoning,
            finish_reason=rule.finish_reason or ("tool_calls" if calls else "stop"),
            usage=_usage(rule, request, text, calls),
            latency=(self.latency_ms if rule.latency_ms is None else rule.latency_ms) / 1000,
            chunks=rule.chunks or self.chunks,
            chunk_delay=rule.chunk_delay_ms / 1000,
            fault=rule.fault,
            data=rule.data,
        )


def _as_messages(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts that are to be embedded or ranked, so that rules look at them as at a chat's."""
    given = body.get("input") or []
    texts = [given] if isinstance(given, str) else given
    texts = [*texts, *([body["query"]] if "query" in body else []), *(body.get("documents") or [])]
    return [{"role": "user", "content": str(text)} for text in texts]


def _native_call(call: dict[str, Any], n: int, request: ChatRequest) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    # Text goes out as it is: a model may write arguments that are no JSON.
    raw = arguments if isinstance(arguments, str) else json.dumps(arguments)
    function = {"name": call["name"], "arguments": raw}
    identity = call.get("id") or f"call_{len(request.messages)}_{n}"
    return {"id": identity, "type": "function", "function": function}


def _answer(rule: Rule, request: ChatRequest) -> str:
    text = rule.answer
    if text is None and rule.data is not None:
        text = json.dumps(rule.data)
    if text is None and request.schema is not None and not request.schema_tools:
        return json.dumps(sample(request.schema))
    if text is None:
        text = "The scripted model has read the request and gives this answer in twelve words."
    if request.schema_tools and FINAL_ANSWER in request.schema_tools:
        return json.dumps({"name": FINAL_ANSWER, "arguments": _final_arguments(text, request)})
    return text


def _final_arguments(text: str, request: ChatRequest) -> Any:
    schema = request.schema_tools[FINAL_ANSWER]
    if set(schema.get("properties", {})) == {"text"}:
        return {"text": text}
    try:
        return json.loads(text)
    except ValueError:
        return sample(schema)


def _usage(rule: Rule, request: ChatRequest, text: str, calls: list[dict[str, Any]]) -> dict[str, int]:
    usage = rule.usage or {
        "prompt_tokens": max(1, sum(len(_text(m.get("content"))) for m in request.messages) // 4),
        "completion_tokens": max(1, (len(text) + sum(len(c["function"]["arguments"]) for c in calls)) // 4),
    }
    return {**usage, "total_tokens": usage["prompt_tokens"] + usage["completion_tokens"]}


def _text(content: Any) -> str:
    if isinstance(content, list):
        parts = cast(list[Any], content)
        return " ".join(str(p.get("text", "")) for p in parts if isinstance(p, dict))
    return content or ""


def _response_schema(body: dict[str, Any]) -> dict[str, Any] | None:
    wanted = body.get("response_format") or {}
    return wanted["json_schema"]["schema"] if wanted.get("type") == "json_schema" else None


def _tools_in(schema: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Tool name to argument schema, where the schema is a choice of `{name: const, arguments}` objects."""
    found: dict[str, dict[str, Any]] = {}
    for option in (schema or {}).get("anyOf", []):
        properties = option.get("properties", {})
        if set(properties) != {"name", "arguments"} or "const" not in properties["name"]:
            return {}
        found[properties["name"]["const"]] = properties["arguments"]
    return found


def sample(schema: dict[str, Any], root: dict[str, Any] | None = None, name: str = "value") -> Any:
    """A small value that fits the schema: what a grammar-constrained model would be held to."""
    root = root or schema
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target[part]
        return sample(target, root, name)
    for fixed in ("const", "default"):
        if fixed in schema:
            return schema[fixed]
    if "enum" in schema:
        return schema["enum"][0]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return sample(schema[choice][0], root, name)
    return _sample_of_type(schema, root, name)


def _sample_of_type(schema: dict[str, Any], root: dict[str, Any], name: str) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object" or "properties" in schema:
        return {key: sample(value, root, key) for key, value in schema.get("properties", {}).items()}
    if kind == "array":
        count = max(1, schema.get("minItems", 1))
        return [sample(schema.get("items", {"type": "string"}), root, name)] * count
    if kind in ("integer", "number"):
        return _sample_number(schema)
    if kind == "boolean":
        return True
    return (
        None if kind == "null" else f"sample {name}".ljust(schema.get("minLength", 0), ".")[: schema.get("maxLength")]
    )


def _sample_number(schema: dict[str, Any]) -> int:
    low, high = schema.get("minimum", 1), schema.get("maximum", 7)
    return int(max(low, min(7, high)))
