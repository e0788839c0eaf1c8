"""The syntax tree of CEL.

Chains (`a.b.c`, `a + b - c`, `a && b && c`) are kept flat: a tree is only as deep as its source is nested,
so neither compiling nor evaluating can exhaust the stack.
"""

from dataclasses import dataclass
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Constant:
    value: Scalar
    position: int


@dataclass(frozen=True, slots=True)
class Name:
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Index:
    index: "Node"
    position: int


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    arguments: "tuple[Node, ...]"
    position: int


Step: TypeAlias = Field | Index | Method


@dataclass(frozen=True, slots=True)
class Postfix:
    """`base` with `.field`, `[index]` and `.method(...)` applied from left to right."""

    base: "Node"
    steps: tuple[Step, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Call:
    name: str
    arguments: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class ListLiteral:
    items: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class MapLiteral:
    entries: "tuple[tuple[Node, Node], ...]"
    position: int


@dataclass(frozen=True, slots=True)
class Unary:
    """The same operator `count` times."""

    operator: str
    count: int
    operand: "Node"
    position: int


@dataclass(frozen=True, slots=True)
class Operation:
    operator: str
    operand: "Node"
    position: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Operators of one precedence, applied from left to right."""

    first: "Node"
    rest: tuple[Operation, ...]
    position: int


@dataclass(frozen=True, slots=True)
class Logic:
    operator: str
    operands: "tuple[Node, ...]"
    position: int


@dataclass(frozen=True, slots=True)
class Conditional:
    """`test ? then : test ? then : otherwise`, as many choices as there are."""

    choices: "tuple[tuple[Node, Node], ...]"
    otherwise: "Node"
    position: int


Node: TypeAlias = Constant | Name | Postfix | Call | ListLiteral | MapLiteral | Unary | Chain | Logic | Conditional
