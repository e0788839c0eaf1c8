"""Answers in JSON of a schema that a user wrote. The schema is data: no class or code is made of it."""

import re
from typing import Any, Final

from shared.kit.json import JsonObject, loads
from shared.workflow.inputs import check_inputs

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
    return NOT_GIVEN if check_inputs(schema, value) else value
