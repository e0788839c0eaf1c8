"""What goes through the journal, as the JSON in which it is hashed, stored and read back."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from services.orchestration.engine.ports import (
    CallFailed,
    CallKind,
    ChatMessage,
    Citation,
    CodeReply,
    CodeRequest,
    Found,
    HttpReply,
    HttpRequest,
    KnowledgeRequest,
    ModelReply,
    ModelRequest,
    Passage,
    ToolCall,
    Usage,
)
from shared.kit import links
from shared.kit.json import Json, JsonObject, dumps, loads


def model_request(request: ModelRequest) -> JsonObject:
    """Fields that say nothing are left out, so that a new optional field changes no older request's hash."""
    optional: JsonObject = {
        "tools": [{"name": t.name, "description": t.description, "parameters": t.parameters} for t in request.tools],
        "response_schema": request.response_schema,
        "temperature": request.temperature,
        "max_tokens": request.max_tokens,
        "stop": list(request.stop),
    }
    return {
        "model_id": str(request.model_id),
        "messages": [_message(message) for message in request.messages],
        **{name: value for name, value in optional.items() if value not in (None, [])},
    }


def _message(message: ChatMessage) -> JsonObject:
    encoded: JsonObject = {"role": message.role, "content": message.content}
    if message.tool_calls:
        encoded["tool_calls"] = _tool_calls(message.tool_calls)
    if message.tool_call_id is not None:
        encoded["tool_call_id"] = message.tool_call_id
    return encoded


def _tool_calls(calls: Sequence[ToolCall]) -> list[JsonObject]:
    return [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in calls]


def model_reply(reply: ModelReply) -> JsonObject:
    return {
        "text": reply.text,
        "tool_calls": _tool_calls(reply.tool_calls),
        "reasoning": reply.reasoning,
        "data": reply.data,
        "finish_reason": reply.finish_reason,
        "usage": {
            "input_tokens": reply.usage.input_tokens,
            "output_tokens": reply.usage.output_tokens,
            "cost": str(reply.usage.cost),
        },
    }


def read_model_reply(stored: Any) -> ModelReply:
    usage = stored["usage"]
    return ModelReply(
        text=stored["text"],
        tool_calls=tuple(ToolCall(each["id"], each["name"], each["arguments"]) for each in stored["tool_calls"]),
        reasoning=stored["reasoning"],
        data=stored["data"],
        usage=Usage(usage["input_tokens"], usage["output_tokens"], Decimal(usage["cost"])),
        finish_reason=stored["finish_reason"],
    )


def knowledge_request(request: KnowledgeRequest) -> JsonObject:
    """As of model requests: a new optional field changes no older request's hash."""
    optional: JsonObject = {
        "tags": list(request.tags),
        "document_ids": [str(each) for each in request.document_ids],
        "min_score": request.min_score,
        "rerank_model_id": None if request.rerank_model_id is None else str(request.rerank_model_id),
        "agent_id": None if request.agent_id is None else str(request.agent_id),
    }
    return {
        "knowledge_base_ids": [str(each) for each in request.knowledge_base_ids],
        "query": request.query,
        "top_k": request.top_k,
        "mode": request.mode,
        **{name: value for name, value in optional.items() if value},
    }


def passage(found: Passage) -> JsonObject:
    return {
        "knowledge_base_id": str(found.knowledge_base_id),
        "document_id": str(found.document_id),
        "document_name": found.document_name,
        "chunk_id": str(found.chunk_id),
        "text": found.text,
        "score": found.score,
        "page": found.page,
        "start": found.start,
        "end": found.end,
        "headings": list(found.headings),
        "part": found.part,
        "page_end": found.page_end,
        "original_url": links.original(found.document_id, found.page),
    }


def citations(found: Sequence[Citation]) -> list[JsonObject]:
    return [{"number": each.number, **passage(each.passage)} for each in found]


def passages(found: Sequence[Passage]) -> list[JsonObject]:
    return [passage(each) for each in found]


def read_found(stored: Any) -> Found:
    return Found(tuple(read_passages(stored)))


def read_passages(stored: Any) -> list[Passage]:
    """Older records know less."""
    return [
        Passage(
            knowledge_base_id=UUID(each["knowledge_base_id"]),
            document_id=UUID(each["document_id"]),
            document_name=each["document_name"],
            chunk_id=UUID(each["chunk_id"]),
            text=each["text"],
            score=each["score"],
            page=each["page"],
            start=each["start"],
            end=each["end"],
            headings=tuple(each.get("headings") or ()),
            part=each.get("part"),
            page_end=each.get("page_end"),
        )
        for each in stored
    ]


def http_request(request: HttpRequest) -> JsonObject:
    return {
        "method": request.method,
        "url": request.url,
        "headers": request.headers,
        "body": request.body,
        "timeout": request.timeout,
        "max_bytes": request.max_bytes,
        "connection_id": None if request.connection_id is None else str(request.connection_id),
        "fail_on_status": request.fail_on_status,
    }


def http_reply(reply: HttpReply) -> JsonObject:
    return {"status": reply.status, "headers": reply.headers, "text": reply.text, "data": reply.data}


def read_http_reply(stored: Any) -> HttpReply:
    return HttpReply(stored["status"], stored["headers"], stored["text"], stored["data"])


def code_request(request: CodeRequest) -> JsonObject:
    return {
        "source": request.source,
        "inputs": request.inputs,
        "timeout": request.timeout,
        "memory_mb": request.memory_mb,
    }


def code_reply(reply: CodeReply) -> JsonObject:
    return {"value": reply.value, "printed": reply.printed}


def read_code_reply(stored: Any) -> CodeReply:
    return CodeReply(stored["value"], stored["printed"])


def given_response(kind: CallKind, value: Json) -> Json:
    """What a person says that a call has answered, as the record of such a call."""
    text = value if isinstance(value, str) else dumps(value)
    if kind is not CallKind.HTTP:
        return text
    if isinstance(value, dict) and isinstance(value.get("status"), int):
        return http_reply(
            HttpReply(value["status"], value.get("headers") or {}, str(value.get("text", "")), value.get("data"))
        )
    return http_reply(HttpReply(200, {}, text, _parsed(text) if isinstance(value, str) else value))


def _parsed(text: str) -> Json:
    try:
        return loads(text)
    except ValueError:
        return None


def call_failure(failure: CallFailed) -> JsonObject:
    encoded: JsonObject = {
        "code": failure.code,
        "message": failure.message,
        "source": failure.source,
        "retryable": failure.retryable,
    }
    if failure.retry_after is not None:
        encoded["retry_after"] = failure.retry_after
    if failure.details:
        encoded["details"] = failure.details
    return encoded


def read_call_failure(stored: JsonObject) -> CallFailed:
    return CallFailed(
        stored["message"],
        code=stored["code"],
        source=stored["source"],
        retryable=stored["retryable"],
        retry_after=stored.get("retry_after"),
        details=stored.get("details"),
    )
