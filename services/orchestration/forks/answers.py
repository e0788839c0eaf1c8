"""Answers that somebody gives in a fork, in place of what a node or a call gave."""

from typing import Any

from services.orchestration.engine import codec
from services.orchestration.engine.ports import CallKind, CodeReply, ModelReply
from shared.database.tables.ledger import CallRow
from shared.executions.fork import Answering
from shared.executions.overrides import ForkInvalid, fork_invalid
from shared.kit.json import Json, JsonObject, loads
from shared.kit.storable import storable
from shared.web.errors import ErrorDetail
from shared.workflow.bodies import config_of
from shared.workflow.cel.values import is_map
from shared.workflow.configs import NODE_CONFIGS
from shared.workflow.inputs import check_inputs

_TEXT: JsonObject = {"type": "string"}
_LIST: JsonObject = {"type": "array"}


def _object(**properties: JsonObject) -> JsonObject:
    return {"type": "object", "properties": properties, "required": list(properties)}


# What is known of a node's output by its type. Types that are not named may give anything.
_OUTPUTS: dict[str, JsonObject] = {
    "agent_task": _object(text=_TEXT),
    "crew": _object(text=_TEXT),
    "knowledge_search": _object(text=_TEXT, passages=_LIST),
    "condition": _object(case=_TEXT),
    "approval": _object(case=_TEXT),
    "question": _object(answer={}),
    "tool": _object(text=_TEXT),
    "http": _object(status={"type": "integer"}),
    "map": _object(items=_LIST),
    "loop": _object(output={}),
    "output": {"type": "object"},
}
_OF_AGENTS: dict[str, JsonObject] = {
    "agent_task": {"data": None, "citations": []},
    "crew": {"data": None, "citations": [], "tasks": []},
}


def as_output(node: JsonObject, answer: Json) -> Json:
    """The output of this node. Text alone will do for one in which agents work."""
    type_ = node["type"]
    if type_ in _OF_AGENTS:
        given: JsonObject = {"text": answer} if isinstance(answer, str) else answer if is_map(answer) else {}
        answer = {**_OF_AGENTS[type_], **given}
    _check(_OUTPUTS.get(type_, {}), answer)
    config = config_of(node)
    ports: tuple[str, ...] = getattr(NODE_CONFIGS[type_].model_validate(config), "ports", ())
    if ports and is_map(answer) and answer["case"] not in ports:
        raise _invalid("answer.case", f"the node has no case {answer['case']!r}; it has {', '.join(ports)}")
    schema = config.get("output_schema")
    if type_ == "agent_task" and schema is not None and is_map(answer):
        _check(_object(data=schema), answer)
    return answer


def as_response(call: CallRow, answer: Json) -> Json:
    """The response of this call, in the form of the journal."""
    answer = storable(answer)
    match CallKind(call.kind):
        case CallKind.LLM:
            return codec.model_reply(_reply(call, _text(answer)))
        case CallKind.TOOL:
            return _text(answer)
        case CallKind.CODE:
            return codec.code_reply(CodeReply(answer, ""))
        case CallKind.HTTP:
            _check(_OUTPUTS["http"], answer)
            return codec.given_response(CallKind.HTTP, answer)
        case CallKind.KNOWLEDGE:
            return _passages(answer)
        case CallKind.EMBEDDING:
            raise _invalid("answer", "nobody can give embeddings in place of a model's")


ANSWERING = Answering(output=as_output, response=as_response)


def _reply(call: CallRow, text: str) -> ModelReply:
    asked: Any = call.request
    schema = asked.get("response_schema")
    if schema is None:
        return ModelReply(text)
    try:
        data = loads(text)
    except ValueError:
        raise _invalid("answer", "the model was asked for JSON, and this is none") from None
    _check(schema, data)
    return ModelReply(text, data=data)


def _text(answer: Json) -> str:
    if not isinstance(answer, str):
        raise _invalid("answer", "the call answers with text: give a string")
    return answer


def _passages(answer: Json) -> Json:
    try:
        codec.read_passages(answer)
    except (KeyError, TypeError, ValueError):
        raise _invalid("answer", "give the passages as a list, each with all the fields of the recorded ones") from None
    return answer


def _check(schema: JsonObject, answer: Json) -> None:
    problems = check_inputs(schema, answer)
    if problems:
        details = [
            ErrorDetail(field=_place(each.field), message=_place(each.message), code="answer_invalid")
            for each in problems
        ]
        raise ForkInvalid(details=details)


def _place(text: str | None) -> str:
    """`check_inputs` speaks of inputs."""
    return (text or "inputs").replace("inputs", "answer", 1)


def _invalid(field: str, message: str) -> ForkInvalid:
    return fork_invalid(field, message, "answer_invalid")
