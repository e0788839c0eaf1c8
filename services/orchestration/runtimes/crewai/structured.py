"""Answers in JSON of a schema that a user wrote. The schema is data: no class or code is made of it."""

import re
from functools import lru_cache
from typing import Any, Final

import jsonschema
from jsonschema.protocols import Validator
from referencing import Registry

from shared.kit.json import JsonObject, canonical, loads

# A reply that says nothing of the kind: `None` is a value a schema may ask for.
NOT_GIVEN: Final = object()

_FENCED = re.compile(r"^\s*```[\w-]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


def read_answer(text: str, schema: JsonObject) -> Any:
    """The value in `text`, alone or in a code fence, if it is JSON of that schema; else `NOT_GIVEN`."""
    fenced = _FENCED.match(text)
    try:
        value = loads(fenced[1] if fenced else text)
    except ValueError:
        return NOT_GIVEN
    return value if _validator(canonical(schema)).is_valid(value) else NOT_GIVEN


@lru_cache(maxsize=256)
def _validator(schema: bytes) -> Validator:
    # The empty registry is what keeps a `$ref` from being fetched.
    return jsonschema.Draft202012Validator(loads(schema), registry=Registry())
