"""`--input name=value` as the workflow's own schema of inputs understands it."""

import json
from collections.abc import Sequence
from typing import Any

from cli.errors import CommandError, ExitCode


def parse_inputs(pairs: Sequence[str], schema: dict[str, Any]) -> dict[str, Any]:
    """Text stays text where the schema asks for text; all else is read as JSON.

    Raises CommandError for what is not `name=value` and for inputs that the workflow does not have. Whether the
    values are allowed is for the service to say.
    """
    properties: dict[str, Any] = schema.get("properties") or {}
    inputs: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise _usage(f"--input {pair!r} is not of the form name=value.")
        if properties and name not in properties:
            raise _usage(f"The workflow has no input {name!r}.", f"It has: {', '.join(sorted(properties))}.")
        inputs[name] = _value(name, text, properties.get(name) or {})
    missing = [name for name in schema.get("required") or () if name not in inputs]
    if missing:
        raise _usage(
            f"The workflow needs {', '.join(missing)}.", "Give " + " ".join(f"--input {name}=..." for name in missing)
        )
    return inputs


def _value(name: str, text: str, schema: dict[str, Any]) -> Any:
    types = schema.get("type")
    allowed: list[str] = [types] if isinstance(types, str) else list(types or ["string"])
    if "string" in allowed:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise _usage(f"--input {name}: {text!r} is not {' or '.join(allowed)}, written as JSON.") from error


def _usage(problem: str, advice: str = "") -> CommandError:
    return CommandError(problem, advice, code=ExitCode.USAGE)
