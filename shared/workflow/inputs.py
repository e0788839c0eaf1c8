"""The schema of a workflow's inputs: checking it, checking inputs by it, filling in defaults.

Schemas are written by users, so what could hold a process is bounded: patterns are RE2, `uniqueItems` takes
linear time, `$ref` stays inside the schema, and every keyword that is applied counts against an allowance, the more
the larger what it is applied to.
"""

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend  # pyright: ignore[reportUnknownVariableType]
from referencing.exceptions import Unresolvable

from shared.kit.json import Json, JsonObject, canonical, loads
from shared.workflow.patterns import PatternError, compile_pattern
from shared.workflow.problems import Problem, error

MAX_SCHEMA_BYTES = 64_000
_MAX_DEPTH = 30
_MAX_STEPS = 50_000
_MOST_PROBLEMS = 20

_BYTES_PER_STEP = 256
# The library goes through the whole schema for these, with Python's `re`.
_UNSUPPORTED = ("unevaluatedProperties", "unevaluatedItems")

_Keyword = Callable[[Any, Any, Json, JsonObject], Any]
_steps_left: ContextVar[list[int]] = ContextVar("_steps_left")


def _found(pattern: str, text: str) -> bool:
    _spend(1 + len(text) // _BYTES_PER_STEP)
    return compile_pattern(pattern).search(text) is not None


def _pattern(validator: Any, pattern: str, instance: Json, schema: JsonObject) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _found(pattern, instance):
        yield ValidationError(f"does not match the pattern {pattern!r}")


def _pattern_properties(
    validator: Any, properties: JsonObject, instance: Json, schema: JsonObject
) -> Iterator[ValidationError]:
    if not isinstance(instance, dict):
        return
    for pattern, subschema in properties.items():
        for name in instance:
            if _found(pattern, name):
                yield from validator.descend(instance[name], subschema, path=name, schema_path=pattern)


def _additional_properties(
    validator: Any, subschema: Any, instance: Json, schema: JsonObject
) -> Iterator[ValidationError]:
    """In place of the library's, which applies the patterns with Python's `re`."""
    if not isinstance(instance, dict):
        return
    properties, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
    for name in instance:
        if name in properties or any(_found(pattern, name) for pattern in patterns):
            continue
        if subschema is False:
            yield ValidationError(f"Additional properties are not allowed ({name[:200]!r} was unexpected)")
        else:
            yield from validator.descend(instance[name], subschema, path=name)


def _unique(validator: Any, unique: bool, instance: Json, schema: JsonObject) -> Iterator[ValidationError]:
    if not unique or not isinstance(instance, list):
        return
    _spend(len(instance) + len(canonical(instance)) // _BYTES_PER_STEP)
    if len({canonical(item) for item in instance}) < len(instance):
        yield ValidationError("has the same element twice")


class _TooMuchWork(Exception):
    """The allowance of one check is used up."""


def _never(validator: Any, value: Any, instance: Json, schema: JsonObject) -> Any:
    """Of schemas from the time before they were refused."""
    raise _TooMuchWork


def _spend(steps: int) -> None:
    left = _steps_left.get()
    left[0] -= steps
    if left[0] < 0:
        raise _TooMuchWork


def _counted(keyword: _Keyword) -> _Keyword:
    def apply(validator: Any, value: Any, instance: Json, schema: JsonObject) -> Iterator[ValidationError]:
        size = len(instance) if isinstance(instance, list | dict) else 0
        _spend(1 + (len(value) if isinstance(value, list) else 0) + size // 32)  # pyright: ignore[reportUnknownArgumentType]
        for broken in keyword(validator, value, instance, schema) or ():
            # It shows what it complains of, which takes its time too.
            _spend(len(broken.message) // _BYTES_PER_STEP)
            yield broken

    return apply


def _safe_keywords() -> dict[str, _Keyword]:
    ours: dict[str, _Keyword] = {
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
        "uniqueItems": _unique,
        **dict.fromkeys(_UNSUPPORTED, _never),
    }
    standard: dict[str, _Keyword] = dict(Draft202012Validator.VALIDATORS)
    return {name: _counted(keyword) for name, keyword in {**standard, **ours}.items()}


_extend: Any = extend  # pyright: ignore[reportUnknownVariableType]
_Validator = _extend(Draft202012Validator, _safe_keywords())


def check_schema(schema: JsonObject) -> list[str]:
    """What is wrong with a schema, in words; empty when it may be used."""
    if len(canonical(schema)) > MAX_SCHEMA_BYTES:
        return [f"the schema is larger than {MAX_SCHEMA_BYTES:,} bytes"]
    complaints = list(_unsafe(schema, 0))
    if complaints:
        return complaints
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as broken:
        return [f"{_at(broken.absolute_path)}{broken.message}"]
    return []


def _unsafe(part: Any, depth: int) -> Iterator[str]:
    if depth > _MAX_DEPTH:
        yield f"the schema is nested more than {_MAX_DEPTH} deep"
    elif isinstance(part, list):
        for item in part:  # pyright: ignore[reportUnknownVariableType]
            yield from _unsafe(item, depth + 1)
    elif isinstance(part, dict):
        yield from _unsafe_keywords(part)  # pyright: ignore[reportUnknownArgumentType]
        for item in part.values():  # pyright: ignore[reportUnknownVariableType]
            yield from _unsafe(item, depth + 1)


def _unsafe_keywords(part: JsonObject) -> Iterator[str]:
    reference = part.get("$ref")
    if isinstance(reference, str) and not reference.startswith("#/"):
        yield f"$ref {reference!r} leaves the schema: copy what it refers to into $defs"
    if "$dynamicRef" in part:
        yield "$dynamicRef is not supported: use $ref"
    for name in _UNSUPPORTED:
        if name in part:
            yield f"{name} is not supported: use additionalProperties or items"
    patterns = [part.get("pattern"), *_keys(part.get("patternProperties"))]
    for pattern in patterns:
        if isinstance(pattern, str):
            yield from _pattern_complaint(pattern)


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else []  # pyright: ignore[reportUnknownArgumentType]


def _pattern_complaint(pattern: str) -> Iterator[str]:
    try:
        compile_pattern(pattern)
    except PatternError as broken:
        yield str(broken)


def check_inputs(schema: JsonObject, inputs: Json, name: str = "inputs") -> list[Problem]:
    """What keeps these inputs from being used; `name` is what they are called to whoever gave them. The schema must
    have passed `check_schema`."""
    _steps_left.set([_MAX_STEPS])
    try:
        found = _take(_validator(canonical(schema)).iter_errors(inputs))
    except RecursionError:
        return [error("inputs_invalid", f"the schema of the {name} refers to itself without end", field=name)]
    except Unresolvable:
        return [error("inputs_invalid", f"the schema of the {name} refers to what is not in it", field=name)]
    except _TooMuchWork:
        return [error("inputs_invalid", f"too large for the schema of the {name} to be checked", field=name)]
    return [_problem(each, name) for each in found]


def _take(errors: Iterator[ValidationError]) -> list[ValidationError]:
    return [each for each, _ in zip(errors, range(_MOST_PROBLEMS), strict=False)]


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Any:
    return _Validator(loads(schema))


def _problem(broken: ValidationError, name: str) -> Problem:
    field = ".".join([name, *map(str, broken.absolute_path)])
    return error("input_invalid", f"{field}: {broken.message[:500]}", field=field)


def _at(path: Any) -> str:
    place = ".".join(map(str, path))
    return f"{place}: " if place else ""


def with_defaults(schema: JsonObject, inputs: JsonObject) -> JsonObject:
    """The inputs, with the schema's defaults where a property is not given."""
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return inputs
    defaults: JsonObject = {
        name: about["default"]
        for name, about in properties.items()  # pyright: ignore[reportUnknownVariableType]
        if name not in inputs and isinstance(about, dict) and "default" in about
    }
    return {**defaults, **inputs} if defaults else inputs


def known_inputs(schema: JsonObject) -> JsonObject | None:
    """The inputs by name, with the schema of each, or None when the schema lets any name through."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or "patternProperties" in schema or "$ref" in schema:
        return None
    return None if schema.get("additionalProperties") else properties  # pyright: ignore[reportUnknownVariableType]
