"""What a stream's line repeats of a step or a call is cut when it is large: the whole of it stands in their own row."""

from typing import Any

from shared.kit.json import JsonObject
from shared.kit.storable import dump_storable

MOST_BYTES = 32 * 1024
_PREVIEW_BYTES = 2_000
# Only these repeat what is read in full elsewhere: of steps, calls, waits and the execution.
_REPEATED = ("output", "result", "arguments", "request")


def cut(data: JsonObject) -> JsonObject:
    """`data` of an event with each large value in place of which `{"truncated": true, "bytes", "preview"}` stands
    named under `truncated`, so that nobody takes a value of that form for a cut one."""
    large = {name: _stand_in(data[name]) for name in _REPEATED if data.get(name) is not None}
    replaced = {name: shown for name, shown in large.items() if shown is not None}
    return {**data, **replaced, "truncated": list(replaced)} if replaced else data


def _stand_in(value: Any) -> JsonObject | None:
    raw = dump_storable(value)
    if len(raw) <= MOST_BYTES:
        return None
    return {"truncated": True, "bytes": len(raw), "preview": raw[:_PREVIEW_BYTES].decode("utf-8", "ignore")}
