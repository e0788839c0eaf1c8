"""Answers that must fit a JSON schema. Schemas come from users; `shared.workflow.inputs` makes them safe to apply."""

from typing import Any

import orjson

from shared.kit.json import Json, JsonObject
from shared.workflow.inputs import check_inputs, check_schema


class SchemaUnusable(ValueError):
    """The schema itself is wrong."""


class AnswerInvalid(ValueError):
    """The text is not JSON of the schema. The message says where and why."""


def require_usable(schema: JsonObject) -> None:
    """Raises `SchemaUnusable`."""
    if complaints := check_schema(schema):
        raise SchemaUnusable(complaints[0])


def parse_answer(text: str, schema: JsonObject) -> Json:
    """The JSON in a model's answer. Raises `AnswerInvalid`; the schema must be usable."""
    try:
        value: Any = orjson.loads(_without_fence(text))
    except orjson.JSONDecodeError as error:
        raise AnswerInvalid(f"the answer is no JSON ({error.msg})") from error
    if problems := check_inputs(schema, value):
        # The check was made for a workflow's inputs and calls what it looks at that.
        raise AnswerInvalid(problems[0].message.replace("inputs", "answer", 1))
    return value


def schema_instructions(schema: JsonObject) -> str:
    """For models that are asked for JSON in words."""
    text = orjson.dumps(schema).decode()
    return f"Answer with JSON only, no prose and no code fence, that fits this JSON schema:\n{text}"


def repair_instructions(problem: str) -> str:
    return f"Your answer does not fit the required JSON schema: {problem}. Answer again with the corrected JSON only."


def _without_fence(text: str) -> str:
    """Models like to wrap JSON in a code fence, whatever they are told."""
    stripped = text.strip()
    if not stripped.startswith("```"):
        return stripped
    body = stripped.split("\n", 1)[-1]
    return body.rsplit("```", 1)[0].strip()
