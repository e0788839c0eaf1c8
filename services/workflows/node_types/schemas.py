from shared.kit.json import JsonObject
from shared.web.schemas import ResponseModel
from shared.workflow.states import CallKind, Effect, WaitKind


class NodeTypeOut(ResponseModel):
    """What a node of this type may be told, and what it does.

    `description` says what it is for and what its output is. `config_schema` is the JSON Schema of `config`; in it
    `x-syntax` says how a text is read (`cel`: one expression, `template`: text with `{{ CEL }}` in it, `python`,
    `json-schema`), and `x-refers-to` whose id, or name, a value is. A CEL expression may read `inputs`, `execution`,
    `nodes.<id>.output` of nodes that come before, and within a map or a loop `item` and `iteration`.

    Edges leave by one of `ports`, or of the names that the fields in `ports_from` give; a type that has neither takes
    no `port`. `calls` are what its steps call themselves, `effect` what repeating such a call does: null where the
    config, a tool or a node within it says. `waits` is what a step may wait for. A type with `has_body` has a graph of
    its own in `config.body`; where `may_retry` is false, `retry` stands on the nodes within.
    """

    type: str
    title: str
    description: str
    config_schema: JsonObject
    ports: list[str]
    ports_from: list[str]
    calls: list[CallKind]
    effect: Effect | None
    waits: list[WaitKind]
    has_body: bool
    may_retry: bool
