"""The macros of CEL over lists and maps (of a map: over its keys). Each builds the closure of one use."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from shared.workflow.cel.errors import ExpressionError, tolerable
from shared.workflow.cel.frame import Evaluate, Frame
from shared.workflow.cel.operators import truth
from shared.workflow.cel.values import is_list, is_map, kind

Build = Callable[[str, Sequence[Evaluate], int], Callable[[Any, Frame], Any]]


def _elements(over: Any, variable: str, frame: Frame, position: int) -> Iterator[Any]:
    """Binds the variable to one element after the other; what it hid before is seen again afterwards."""
    if not is_list(over) and not is_map(over):
        raise ExpressionError(f"macros work on lists and maps, not on {kind(over)}", position)
    variables = frame.variables
    hidden = variables.get(variable, _UNBOUND)
    try:
        for element in over:
            frame.meter.spend()
            variables[variable] = element
            yield element
    finally:
        if hidden is _UNBOUND:
            variables.pop(variable, None)
        else:
            variables[variable] = hidden


_UNBOUND = object()


def _quantifier(name: str, decisive: bool) -> Build:
    """`all` is decided by the first false, `exists` by the first true, even if other elements fail."""

    def build(variable: str, bodies: Sequence[Evaluate], position: int) -> Callable[[Any, Frame], bool]:
        (body,) = bodies

        def evaluate(over: Any, frame: Frame) -> bool:
            failure: ExpressionError | None = None
            for _ in _elements(over, variable, frame, position):
                try:
                    if truth(body(frame), position, f"the test of {name}()") is decisive:
                        return decisive
                except ExpressionError as error:
                    failure = failure or tolerable(error)
            if failure is not None:
                raise failure
            return not decisive

        return evaluate

    return build


def _exists_one(variable: str, bodies: Sequence[Evaluate], position: int) -> Callable[[Any, Frame], bool]:
    (body,) = bodies

    def evaluate(over: Any, frame: Frame) -> bool:
        hits = [
            None
            for _ in _elements(over, variable, frame, position)
            if truth(body(frame), position, "the test of exists_one()")
        ]
        return len(hits) == 1

    return evaluate


def _filter(variable: str, bodies: Sequence[Evaluate], position: int) -> Callable[[Any, Frame], list[Any]]:
    (body,) = bodies

    def evaluate(over: Any, frame: Frame) -> list[Any]:
        return [
            element
            for element in _elements(over, variable, frame, position)
            if truth(body(frame), position, "the test of filter()")
        ]

    return evaluate


def _map(variable: str, bodies: Sequence[Evaluate], position: int) -> Callable[[Any, Frame], list[Any]]:
    *tests, body = bodies

    def evaluate(over: Any, frame: Frame) -> list[Any]:
        return [
            body(frame)
            for _ in _elements(over, variable, frame, position)
            if all(truth(test(frame), position, "the test of map()") for test in tests)
        ]

    return evaluate


# Name -> its builder and how many expressions follow the variable.
MACROS: dict[str, tuple[Build, range]] = {
    "all": (_quantifier("all", decisive=False), range(1, 2)),
    "exists": (_quantifier("exists", decisive=True), range(1, 2)),
    "exists_one": (_exists_one, range(1, 2)),
    "filter": (_filter, range(1, 2)),
    "map": (_map, range(1, 3)),
}
