"""The operators of CEL on values. Each takes (left, right, meter, position)."""

import operator
from collections.abc import Callable
from typing import Any

from shared.workflow.cel.errors import ExpressionError
from shared.workflow.cel.values import Meter, built_text, checked, equal, is_list, is_map, is_number, kind

Operator = Callable[[Any, Any, Meter, int], Any]


def _add(left: Any, right: Any, meter: Meter, position: int) -> Any:
    if is_number(left) and is_number(right):
        return checked(left + right, position)
    if isinstance(left, str) and isinstance(right, str):
        built_text(len(left) + len(right), meter, position)
        return left + right
    if is_list(left) and is_list(right):
        meter.spend((len(left) + len(right)) // 8)
        return [*left, *right]
    raise _refused("+", left, right, position)


def _subtract(left: Any, right: Any, meter: Meter, position: int) -> Any:
    if is_number(left) and is_number(right):
        return checked(left - right, position)
    raise _refused("-", left, right, position)


def _multiply(left: Any, right: Any, meter: Meter, position: int) -> Any:
    if is_number(left) and is_number(right):
        return checked(left * right, position)
    raise _refused("*", left, right, position)


def _divide(left: Any, right: Any, meter: Meter, position: int) -> Any:
    if not (is_number(left) and is_number(right)):
        raise _refused("/", left, right, position)
    if right == 0:
        raise ExpressionError("division by zero", position)
    if type(left) is int and type(right) is int:
        quotient = abs(left) // abs(right)
        return checked(quotient if (left < 0) == (right < 0) else -quotient, position)
    return checked(left / right, position)


def _modulo(left: Any, right: Any, meter: Meter, position: int) -> Any:
    if type(left) is not int or type(right) is not int:
        raise _refused("%", left, right, position)
    if right == 0:
        raise ExpressionError("division by zero", position)
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _ordering(symbol: str, compare: Callable[[Any, Any], bool]) -> Operator:
    def ordered(left: Any, right: Any, meter: Meter, position: int) -> bool:
        if (is_number(left) and is_number(right)) or (type(left) is type(right) and isinstance(left, str | bool)):
            return compare(left, right)
        raise ExpressionError(f"{symbol} cannot compare {kind(left)} with {kind(right)}", position)

    return ordered


def _equals(left: Any, right: Any, meter: Meter, position: int) -> bool:
    return equal(left, right, meter)


def _differs(left: Any, right: Any, meter: Meter, position: int) -> bool:
    return not equal(left, right, meter)


def _in(left: Any, right: Any, meter: Meter, position: int) -> bool:
    if is_list(right):
        return any(equal(left, item, meter) for item in right)
    if is_map(right):
        return isinstance(left, str) and left in right
    hint = ": write text.contains(part)" if isinstance(right, str) else ""
    raise ExpressionError(f"in looks into lists and maps, not into {kind(right)}{hint}", position)


def negate(value: Any, position: int) -> Any:
    if is_number(value):
        return checked(-value, position)
    raise ExpressionError(f"- cannot negate {kind(value)}", position)


def truth(value: Any, position: int, where: str) -> bool:
    """The value, which must be a bool. `where` begins the complaint."""
    if value is True or value is False:
        return value
    raise ExpressionError(f"{where} must be true or false, not {kind(value)}", position)


def _refused(symbol: str, left: Any, right: Any, position: int) -> ExpressionError:
    hint = ": turn the other into text with string()" if "string" in (kind(left), kind(right)) else ""
    return ExpressionError(f"{symbol} cannot take {kind(left)} and {kind(right)}{hint}", position)


OPERATORS: dict[str, Operator] = {
    "+": _add,
    "-": _subtract,
    "*": _multiply,
    "/": _divide,
    "%": _modulo,
    "<": _ordering("<", operator.lt),
    "<=": _ordering("<=", operator.le),
    ">": _ordering(">", operator.gt),
    ">=": _ordering(">=", operator.ge),
    "==": _equals,
    "!=": _differs,
    "in": _in,
}
