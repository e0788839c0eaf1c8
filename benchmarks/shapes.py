"""The graphs of trivial steps that engines are measured with. Said once, run by everybody; knows nothing but Python.

Every step adds to a number. A step of Quarterdeck is *pure* (an expression) or makes a *call* (a tool), which is
recorded. Elsewhere there is no such difference.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """`length` steps one after the other; or, if `width` is given, one step, so many side by side, and one that adds
    up what they gave."""

    name: str
    title: str
    calls: bool
    length: int = 0
    width: int = 0

    @property
    def steps(self) -> int:
        return self.width + 2 if self.width else self.length

    @property
    def answer(self) -> int:
        """What the last step gives when the execution begins with 0."""
        return 2 * self.width if self.width else self.length


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("pure-chain", "a chain of 40 expressions", calls=False, length=40),
        Shape("chain", "a chain of 40 steps with a call each", calls=True, length=40),
        Shape("fan", "30 steps with a call each, side by side", calls=True, width=30),
    )
}
