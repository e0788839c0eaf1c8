"""The tools that come with the product: what models, people and the engine need to know of each.

None of them reaches the network. One without `run` needs more than its arguments; the engine's adapter answers it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal

import jsonschema
from jsonschema.protocols import Validator

from shared.kit.json import JsonObject
from shared.tools import calculator
from shared.tools.errors import ToolInputError
from shared.tools.text import text_statistics
from shared.tools.time import current_time

KNOWLEDGE_SEARCH: Final = "knowledge_search"
DEFAULT_PASSAGES: Final = 5

_SHOWN_PROBLEMS: Final = 5
_SHOWN_LENGTH: Final = 200


@dataclass(frozen=True)
class BuiltinTool:
    """`description` and `parameters` are for models, `title` is for people."""

    name: str
    title: str
    description: str
    parameters: JsonObject
    effect: Literal["read", "idempotent", "once"] = "read"
    run: Callable[..., str] | None = field(default=None, repr=False)

    def check(self, arguments: JsonObject) -> None:
        """Raises `ToolInputError` that says which arguments are wrong and why."""
        problems = [
            f"{'.'.join(map(str, error.path)) or 'arguments'}: {error.message[:_SHOWN_LENGTH]}"
            for error in self._validator.iter_errors(arguments)
        ]
        if problems:
            raise ToolInputError("; ".join(sorted(problems)[:_SHOWN_PROBLEMS]))

    @cached_property
    def _validator(self) -> Validator:
        return jsonschema.Draft202012Validator(self.parameters)


def _arguments(required: list[str], **properties: Any) -> JsonObject:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


_TOOLS: Final = (
    BuiltinTool(
        name=KNOWLEDGE_SEARCH,
        title="Knowledge search",
        description="Finds passages in the knowledge bases you have been given. Search before you answer from memory, "
        "and name the documents you used.",
        parameters=_arguments(
            ["query"],
            query={
                "type": "string",
                "minLength": 1,
                "maxLength": 2_000,
                "description": "What to look for, in words or as a question",
            },
            top_k={
                "type": "integer",
                "minimum": 1,
                "maximum": 20,
                "default": DEFAULT_PASSAGES,
                "description": "How many passages to return",
            },
        ),
    ),
    BuiltinTool(
        name="calculator",
        title="Calculator",
        description=f"Computes an arithmetic expression exactly. It may have {calculator.SYNTAX}.",
        parameters=_arguments(
            ["expression"],
            expression={
                "type": "string",
                "minLength": 1,
                "maxLength": calculator.MAX_LENGTH,
                "description": "For example (3 + 4) * 2 / 7",
            },
        ),
        run=calculator.calculate,
    ),
    BuiltinTool(
        name="current_time",
        title="Current time",
        description="Tells the current date, time and weekday.",
        parameters=_arguments(
            [],
            timezone={
                "type": "string",
                "maxLength": 64,
                "default": "UTC",
                "description": "A name of the time zone database, such as Europe/Berlin; UTC if not given",
            },
        ),
        run=current_time,
    ),
    BuiltinTool(
        name="text_statistics",
        title="Text statistics",
        description="Counts the characters, words, lines and paragraphs of a text.",
        parameters=_arguments(
            ["text"], text={"type": "string", "maxLength": 200_000, "description": "The text to count"}
        ),
        run=text_statistics,
    ),
)

CATALOGUE: Final[Mapping[str, BuiltinTool]] = {tool.name: tool for tool in _TOOLS}
# No tool of a tenant's own may have these: agents that may delegate have two more.
RESERVED_NAMES: Final = CATALOGUE.keys() | {"delegate_work_to_coworker", "ask_question_to_coworker"}
