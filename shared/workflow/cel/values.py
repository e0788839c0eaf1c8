"""Values of CEL: JSON as Python holds it, and nothing else. What work on them costs is charged to a meter."""

from typing import Any, Final, TypeGuard

from shared.workflow.cel.errors import ExpressionError, TooMuchWork
from shared.workflow.cel.parser import MAX_INT, MIN_INT

MAX_COST = 50_000
MAX_TEXT = 1_000_000
MAX_RESULT = 4_000_000
MAX_DEPTH = 100
# Equality and results of data far deeper than any sane document would exhaust the interpreter's stack.
_MAX_COMPARED_DEPTH = 200
_TEXT_PER_UNIT = 200


class Meter:
    """What evaluation may still cost, in units of about a microsecond.

    Without it `[l, l].map(a, [a, a]).map(...)` or nested macros would hold a worker for hours.
    """

    __slots__ = ("left",)

    def __init__(self, units: int = MAX_COST) -> None:
        self.left = units

    def spend(self, units: int = 1) -> None:
        self.left -= units
        if self.left < 0:
            raise TooMuchWork("this takes too much work to evaluate: work on less data, or in several steps")

    def spend_text(self, length: int) -> None:
        self.spend(1 + length // _TEXT_PER_UNIT)


_KINDS: Final[dict[Any, str]] = {
    type(None): "null",
    bool: "bool",
    int: "int",
    float: "double",
    str: "string",
    list: "list",
    tuple: "list",
    dict: "map",
}


def kind(value: Any) -> str:
    """The name of the value's type, as CEL and messages call it."""
    return _KINDS.get(type(value), type(value).__name__)


def is_number(value: Any) -> TypeGuard[int | float]:
    """A number; what Python takes for one, True and False, is none here."""
    return type(value) is int or type(value) is float


def is_list(value: Any) -> TypeGuard[list[Any]]:
    return type(value) is list


def is_map(value: Any) -> TypeGuard[dict[str, Any]]:
    return type(value) is dict


def checked(number: int | float, position: int) -> int | float:
    """A result of arithmetic, if it is one that JSON and 64 bits can hold."""
    if type(number) is int:
        if MIN_INT <= number <= MAX_INT:
            return number
    elif number - number == 0:  # neither infinite nor NaN
        return number
    raise ExpressionError("the result of this arithmetic is too large", position)


def built_text(length: int, meter: Meter, position: int) -> None:
    """Asks leave to build a text of that length."""
    if length > MAX_TEXT:
        raise ExpressionError(f"this makes a text longer than {MAX_TEXT:,} characters", position)
    meter.spend_text(length)


def equal(left: Any, right: Any, meter: Meter, depth: int = 0) -> bool:
    """CEL equality: numbers by value, values of different types are unequal, containers element by element."""
    meter.spend()
    if isinstance(left, str) and isinstance(right, str):
        meter.spend_text(min(len(left), len(right)))
        return left == right
    if is_list(left) and is_list(right):
        _deeper(depth)
        return len(left) == len(right) and all(equal(a, b, meter, depth + 1) for a, b in zip(left, right, strict=True))
    if is_map(left) and is_map(right):
        _deeper(depth)
        return len(left) == len(right) and all(
            key in right and equal(value, right[key], meter, depth + 1) for key, value in left.items()
        )
    if is_number(left):
        return is_number(right) and left == right
    return kind(left) == kind(right) and left == right


def _deeper(depth: int) -> None:
    if depth >= _MAX_COMPARED_DEPTH:
        raise ExpressionError("these values are nested too deep to compare")


def check_result(value: Any, meter: Meter) -> None:
    """Refuses a result too large or too deep to be stored as JSON.

    Values built from shared parts can be exponentially larger than the memory that they take.
    """
    if is_list(value) or is_map(value):
        _measure(value, MAX_RESULT, 0, meter)


def _measure(value: Any, left: int, depth: int, meter: Meter) -> int:
    """What is left of the allowance after the value. Texts are cheap to pass on, elements are not."""
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the result is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        left -= len(value)
    elif is_list(value):
        meter.spend(1 + len(value) // 8)
        for item in value:
            left = _measure(item, left, depth + 1, meter)
    elif is_map(value):
        meter.spend(1 + len(value) // 8)
        for key, item in value.items():
            left = _measure(item, left - len(key), depth + 1, meter)
    if left < 0:
        raise ExpressionError(f"the result is larger than {MAX_RESULT:,} characters: keep only what is needed")
    return left
