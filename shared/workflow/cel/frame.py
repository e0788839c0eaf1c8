from collections.abc import Callable, Mapping
from typing import Any

from shared.workflow.cel.values import Meter


class Frame:
    """What one evaluation works on. `variables` are those of the macros around it."""

    __slots__ = ("meter", "scope", "variables")

    def __init__(self, scope: Mapping[str, Any], meter: Meter) -> None:
        self.scope = scope
        self.meter = meter
        self.variables: dict[str, Any] = {}


Evaluate = Callable[[Frame], Any]
