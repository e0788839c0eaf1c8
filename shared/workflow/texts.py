"""Marks on the fields of graph and node configs that say how their text is read and what their ids refer to.

Validation and the canvas find such fields by these marks, so a new node type needs no code in either.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import BaseModel, GetJsonSchemaHandler, StringConstraints
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MAX_EXPRESSION = 4_000
MAX_TEMPLATE = 100_000
MAX_PYTHON = 50_000


class _InSchema:
    """A mark that the JSON schema of its field tells too, under a name of our own."""

    __slots__ = ()

    def told(self) -> tuple[str, str]:
        """The keyword and its value."""
        raise NotImplementedError

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        keyword, value = self.told()
        return {**handler(core), keyword: value}


@dataclass(frozen=True, slots=True)
class Syntax(_InSchema):
    """How a text is read: `cel` is one expression, `template` is text with `{{ CEL }}` in it. What is `inner` is read
    where the node's body has ended, and may name the body's nodes."""

    kind: Literal["cel", "template"]
    inner: bool = False

    def told(self) -> tuple[str, str]:
        return "x-syntax", self.kind


@dataclass(frozen=True, slots=True)
class Refers(_InSchema):
    """The id of something of the tenant's, or the name of a tool. A model has to be of one of `model_kinds`."""

    kind: Literal["agent", "model", "knowledge_base", "connection", "tool", "workflow"]
    model_kinds: tuple[str, ...] = ("chat",)

    def told(self) -> tuple[str, str]:
        return "x-refers-to", self.kind


@dataclass(frozen=True, slots=True)
class SchemaMark(_InSchema):
    """A JSON Schema written by the user."""

    def told(self) -> tuple[str, str]:
        return "x-syntax", "json-schema"


@dataclass(frozen=True, slots=True)
class PythonMark(_InSchema):
    """Python that defines `main(inputs)`."""

    def told(self) -> tuple[str, str]:
        return "x-syntax", "python"


@dataclass(frozen=True, slots=True)
class BodyMark:
    """A graph within the node: what it says is read in surroundings of its own."""


Cel = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION), Syntax("cel")]
InnerCel = Annotated[str, StringConstraints(min_length=1, max_length=MAX_EXPRESSION), Syntax("cel", inner=True)]
TemplateText = Annotated[str, StringConstraints(max_length=MAX_TEMPLATE), Syntax("template")]
AgentId = Annotated[UUID, Refers("agent")]
ModelId = Annotated[UUID, Refers("model")]
# Ranks passages: a model made for it, or one that is told to.
RankingModelId = Annotated[UUID, Refers("model", ("rerank", "chat"))]
KnowledgeBaseId = Annotated[UUID, Refers("knowledge_base")]
ConnectionId = Annotated[UUID, Refers("connection")]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=64), Refers("tool")]
# Looked at with all that the workflow starts in turn, which takes the database: see `shared/executions/children.py`.
WorkflowId = Annotated[UUID, Refers("workflow")]
JsonSchema = Annotated[dict[str, Any], SchemaMark()]
PythonText = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PYTHON), PythonMark()]

Mark = Syntax | Refers | SchemaMark | PythonMark | BodyMark


@dataclass(frozen=True, slots=True)
class Marked:
    """One marked value; `field` is its path in the config: `cases.0.when`."""

    field: str
    mark: Mark
    value: Any


def marked(model: BaseModel) -> Iterator[Marked]:
    """Every marked value in the model, in the order of its fields."""
    return _in_model(model, "")


def _in_model(model: BaseModel, prefix: str) -> Iterator[Marked]:
    for name, annotation in _hints(type(model)).items():
        field = type(model).model_fields[name].alias or name
        yield from _in_value(annotation, getattr(model, name), f"{prefix}{field}")


@cache
def _hints(model: type[BaseModel]) -> dict[str, Any]:
    hints = get_type_hints(model, include_extras=True)
    return {name: hints[name] for name in model.model_fields}


def _in_value(annotation: Any, value: Any, field: str) -> Iterator[Marked]:
    if value is None:
        return
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        yield from (Marked(field, mark, value) for mark in marks if isinstance(mark, Mark))
        if not any(isinstance(mark, BodyMark) for mark in marks):
            yield from _in_value(inner, value, field)
    elif get_origin(annotation) in (Union, UnionType):
        for option in get_args(annotation):
            if option is not type(None):
                yield from _in_value(option, value, field)
    elif isinstance(value, BaseModel):
        yield from _in_model(value, f"{field}.")
    else:
        for item, key, element in _elements(annotation, value):
            yield from _in_value(item, element, f"{field}.{key}")


def _elements(annotation: Any, value: Any) -> Iterator[tuple[Any, Any, Any]]:
    """The annotation, key and value of each element of a container."""
    arguments = get_args(annotation)
    match get_origin(annotation):
        case origin if origin in (list, tuple):
            yield from ((arguments[0], index, element) for index, element in enumerate(value))
        case origin if origin is dict:
            yield from ((arguments[1], key, element) for key, element in value.items())
        case _:
            pass
