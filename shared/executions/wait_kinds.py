"""What a person may do about each kind of inbox item, and what he must give with it: one line for each kind.

What a request holds is said by the step that asks. Answers are checked against nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.executions.errors import ActionNotOffered, PayloadInvalid
from shared.kit.json import Json, JsonObject, canonical
from shared.web.errors import ErrorDetail, validation_message
from shared.web.schemas import Money
from shared.workflow.inputs import check_inputs, check_schema
from shared.workflow.states import Action, WaitKind

MAX_WORDS = 20_000

# What keeps a payload from fitting this request. A payload of null is none.
_Check = Callable[[JsonObject, Json], Iterable[ErrorDetail]]


@dataclass(frozen=True, slots=True)
class ItemKind:
    """`checks` holds the actions there are. Of these the request may withhold some: `offers` says."""

    checks: Mapping[Action, _Check]
    offers: Callable[[JsonObject, Action], bool] = lambda request, action: True

    def actions(self, request: JsonObject) -> list[Action]:
        return [action for action in self.checks if self.offers(request, action)]


def actions_of(kind: WaitKind, request: Json) -> list[Action]:
    """What this item offers."""
    return ITEM_KINDS[kind].actions(_as_object(request))


def check_answer(kind: WaitKind, request: Json, action: Action, value: Json) -> None:
    """Raises `ActionNotOffered` or `PayloadInvalid`."""
    asked = _as_object(request)
    offered = actions_of(kind, asked)
    if action not in offered:
        raise ActionNotOffered(f"The item offers {', '.join(offered)}, but not {action}.")
    details = list(ITEM_KINDS[kind].checks[action](asked, value))
    if details:
        raise PayloadInvalid(details=details)


def _as_object(request: Json) -> JsonObject:
    return request if isinstance(request, dict) else {}


def _fault(message: str, code: str = "payload", field: str = "payload") -> ErrorDetail:
    return ErrorDetail(field=field, message=message, code=code)


def _nothing(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if value is not None:
        yield _fault("this action takes none", "not_taken")


def _something(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if value is None:
        yield _fault("is required", "missing")


def _words(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if not isinstance(value, str) or not value.strip():
        yield _fault("must be text", "text")
    elif len(value) > MAX_WORDS:
        yield _fault(f"must not be longer than {MAX_WORDS:,} characters", "too_long")


def _perhaps_words(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    return () if value is None else _words(request, value)


def _fitting(schema: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    # Tools bring their own schemas, so one that must not be used is met here and not only where workflows are saved.
    complaints = check_schema(schema)
    if complaints:
        yield _fault(f"cannot be checked, for its schema is not usable: {complaints[0]}", "schema")
        return
    for problem in check_inputs(schema, value, "payload"):
        yield _fault(problem.message, problem.code, problem.field or "payload")


def _reply(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if value is None or value == "":
        yield _fault("is required", "missing")
        return
    choices, schema = request.get("choices"), request.get("answer_schema")
    # As JSON: Python takes 1, 1.0 and true for the same.
    if choices and canonical(value) not in [canonical(choice) for choice in choices]:
        yield _fault("must be one of the choices", "choice")
    if schema:
        yield from _fitting(schema, value)


def _arguments(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if not isinstance(value, dict):
        yield _fault("must be the tool's arguments, an object", "object")
        return
    yield from _fitting(request.get("parameters") or {}, value)


class _Raise(BaseModel):
    """New limits, in place of those that were reached."""

    model_config = ConfigDict(extra="forbid", strict=True)

    tokens: int | None = Field(default=None, gt=0, lt=2**63)
    cost: Money | None = Field(default=None, gt=0, max_digits=18, decimal_places=9, strict=False)
    calls: int | None = Field(default=None, gt=0, lt=2**63)
    time_ms: int | None = Field(default=None, gt=0, lt=2**63)


class _Allowance(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limits: _Raise = Field(alias="raise")


def _raised(request: JsonObject, value: Json) -> Iterable[ErrorDetail]:
    if value is None:
        return
    try:
        _Allowance.model_validate(value)
    except ValidationError as error:
        for fault in error.errors():
            field = ".".join(["payload", *map(str, fault["loc"])])
            yield _fault(validation_message(fault), fault["type"], field)


def _if_editable(request: JsonObject, action: Action) -> bool:
    return action is not Action.EDIT or request.get("editable") is True


ITEM_KINDS: dict[WaitKind, ItemKind] = {
    WaitKind.APPROVAL: ItemKind(
        {
            Action.ACCEPT: _perhaps_words,
            Action.EDIT: _something,
            Action.IGNORE: _perhaps_words,
            Action.RESPOND: _words,
        },
        offers=_if_editable,
    ),
    WaitKind.QUESTION: ItemKind({Action.RESPOND: _reply, Action.IGNORE: _nothing}),
    WaitKind.TOOL_APPROVAL: ItemKind(
        {Action.ACCEPT: _nothing, Action.EDIT: _arguments, Action.IGNORE: _nothing, Action.RESPOND: _words}
    ),
    WaitKind.CALL_IN_DOUBT: ItemKind({Action.RESPOND: _something, Action.ACCEPT: _nothing, Action.IGNORE: _nothing}),
    WaitKind.BUDGET: ItemKind({Action.ACCEPT: _raised, Action.IGNORE: _nothing}),
}
