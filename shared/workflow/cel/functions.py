"""The functions of CEL that values here can use: the standard ones, and a few for texts from its strings extension.

A function and a method are the same thing: `size(x)` is `x.size()`.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

from shared.kit.json import dumps
from shared.workflow.cel.errors import ExpressionError
from shared.workflow.cel.parser import MAX_INT, MIN_INT
from shared.workflow.cel.values import Meter, built_text, equal, is_list, is_map, kind
from shared.workflow.patterns import PatternError, compile_pattern

_WHOLE = re.compile(r"[+-]?[0-9]{1,30}")
_DECIMAL = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]{0,30})?|\.[0-9]{1,30})(?:[eE][+-]?[0-9]{1,4})?")

Function = Callable[[Sequence[Any], Meter, int], Any]


def _size(arguments: Sequence[Any], meter: Meter, position: int) -> int:
    (value,) = arguments
    if isinstance(value, str) or is_list(value) or is_map(value):
        return len(value)
    raise _refused("size", arguments, position)


def _contains(arguments: Sequence[Any], meter: Meter, position: int) -> bool:
    value, part = arguments
    if isinstance(value, str) and isinstance(part, str):
        meter.spend_text(len(value))
        return part in value
    if is_list(value):
        return any(equal(part, item, meter) for item in value)
    raise _refused("contains", arguments, position)


def _starts_with(arguments: Sequence[Any], meter: Meter, position: int) -> bool:
    value, part = _texts("startsWith", arguments, position)
    return value.startswith(part)


def _ends_with(arguments: Sequence[Any], meter: Meter, position: int) -> bool:
    value, part = _texts("endsWith", arguments, position)
    return value.endswith(part)


def _matches(arguments: Sequence[Any], meter: Meter, position: int) -> bool:
    value, pattern = _texts("matches", arguments, position)
    meter.spend(50)
    meter.spend_text(len(value) * 4)
    try:
        return compile_pattern(pattern).search(value) is not None
    except PatternError as error:
        raise ExpressionError(str(error), position) from None


def _trim(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    (value,) = _texts("trim", arguments, position)
    meter.spend_text(len(value))
    return value.strip()


def _lower(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    (value,) = _texts("lowerAscii", arguments, position)
    built_text(len(value), meter, position)
    return value.translate(_TO_LOWER)


def _upper(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    (value,) = _texts("upperAscii", arguments, position)
    built_text(len(value), meter, position)
    return value.translate(_TO_UPPER)


_TO_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_TO_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}


def _split(arguments: Sequence[Any], meter: Meter, position: int) -> list[str]:
    value, separator = _texts("split", arguments, position)
    built_text(len(value), meter, position)
    parts = list(value) if not separator else value.split(separator)
    meter.spend(len(parts) // 4)
    return parts


def _join(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    parts, *given = arguments
    separator = given[0] if given else ""
    if not is_list(parts) or not isinstance(separator, str):
        raise _refused("join", arguments, position)
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise ExpressionError("join() joins strings: turn the others into text with string()", position)
    meter.spend(len(texts) // 4)
    built_text(sum(map(len, texts)) + len(separator) * len(texts), meter, position)
    return separator.join(texts)


def _replace(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    value, old, new = _texts("replace", arguments, position)
    meter.spend_text(len(value))
    built_text(len(value) + value.count(old) * len(new), meter, position)
    return value.replace(old, new)


def _to_string(arguments: Sequence[Any], meter: Meter, position: int) -> str:
    (value,) = arguments
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return dumps(value)
    raise _refused("string", arguments, position)


def _to_int(arguments: Sequence[Any], meter: Meter, position: int) -> int:
    (value,) = arguments
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refused("int", arguments, position)
    if isinstance(value, str) and not _WHOLE.fullmatch(value):
        raise ExpressionError(f"{value[:40]!r} is no whole number", position)
    number = int(value)
    if not MIN_INT <= number <= MAX_INT:
        raise ExpressionError("this number does not fit into 64 bits", position)
    return number


def _to_double(arguments: Sequence[Any], meter: Meter, position: int) -> float:
    (value,) = arguments
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _refused("double", arguments, position)
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise ExpressionError(f"{value[:40]!r} is no number", position)
    number = float(value)
    if number - number != 0:
        raise ExpressionError("this number is too large", position)
    return number


def _to_bool(arguments: Sequence[Any], meter: Meter, position: int) -> bool:
    (value,) = arguments
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise _refused("bool", arguments, position)


def _texts(name: str, arguments: Sequence[Any], position: int) -> list[str]:
    texts = [argument for argument in arguments if isinstance(argument, str)]
    if len(texts) != len(arguments):
        raise _refused(name, arguments, position)
    return texts


def _refused(name: str, arguments: Sequence[Any], position: int) -> ExpressionError:
    given = ", ".join(map(kind, arguments))
    return ExpressionError(f"{name}() cannot take ({given})", position)


# Name -> the function and how many arguments it takes, the receiver of a method counted.
FUNCTIONS: dict[str, tuple[Function, range]] = {
    "size": (_size, range(1, 2)),
    "contains": (_contains, range(2, 3)),
    "startsWith": (_starts_with, range(2, 3)),
    "endsWith": (_ends_with, range(2, 3)),
    "matches": (_matches, range(2, 3)),
    "trim": (_trim, range(1, 2)),
    "lowerAscii": (_lower, range(1, 2)),
    "upperAscii": (_upper, range(1, 2)),
    "split": (_split, range(2, 3)),
    "join": (_join, range(1, 3)),
    "replace": (_replace, range(3, 4)),
    "string": (_to_string, range(1, 2)),
    "int": (_to_int, range(1, 2)),
    "double": (_to_double, range(1, 2)),
    "bool": (_to_bool, range(1, 2)),
}
