"""Selecting from the scope. Almost every expression of a workflow is one plain path: this is the fast way."""

from collections.abc import Callable
from typing import Any, Final

from shared.workflow.cel.errors import Missing
from shared.workflow.cel.frame import Frame
from shared.workflow.cel.values import is_list, is_map, kind

Path = tuple[str | int, ...]

# Stands for a skipped node in the scope's `nodes`: whatever is selected from it is null, however deep.
SKIPPED: Final[dict[str, Any]] = {"output": None}

_KEYS_SHOWN = 8


def path_reader(path: Path, position: int, *, skipped_is_missing: bool = False) -> Callable[[Frame], Any]:
    root, *keys = path
    if not isinstance(root, str):
        raise AssertionError("a path begins with a name")

    def read(frame: Frame) -> Any:
        frame.meter.spend()
        value: Any = frame.scope.get(root)
        for key in keys:
            if value is SKIPPED:
                return _skipped(path, position) if skipped_is_missing else None
            value = value[key] if is_map(value) and key in value else select(value, key, position)
        return value

    return read


def _skipped(path: Path, position: int) -> None:
    raise Missing(f"the node of {'.'.join(map(str, path))} was skipped", position)


def select(value: Any, key: Any, position: int) -> Any:
    """`value.key` and `value[key]`."""
    if is_map(value):
        return _field(value, key, position)
    if is_list(value):
        return _element(value, key, position)
    raise Missing(f"{kind(value)} has no field {key!r}", position)


def _field(value: dict[str, Any], key: Any, position: int) -> Any:
    if not isinstance(key, str):
        raise Missing(f"a map has fields with names, not {kind(key)} {key!r}", position)
    if key not in value:
        raise Missing(f"there is no {key!r} ({_known(value)})", position)
    return value[key]


def _known(value: dict[str, Any]) -> str:
    if not value:
        return "the map is empty"
    shown = ", ".join(list(value)[:_KEYS_SHOWN])
    return f"there are: {shown}{', ...' if len(value) > _KEYS_SHOWN else ''}"


def _element(value: list[Any], key: Any, position: int) -> Any:
    if type(key) is not int:
        raise Missing(f"a list has elements by number, not {kind(key)} {key!r}", position)
    if not 0 <= key < len(value):
        raise Missing(f"there is no element {key}: the list has {len(value)}", position)
    return value[key]
