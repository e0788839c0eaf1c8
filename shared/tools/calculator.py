"""Arithmetic as models write it, in decimals, evaluated on its syntax tree. Nothing is ever run as code.

Bounded in every direction: the text is short, the tree shallow, and every operation works on 50 digits, so that
`9**9**9` costs as little as `1+1`.
"""

import ast
import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Final

from shared.tools.errors import ToolInputError

MAX_LENGTH: Final = 500
_MAX_DEPTH: Final = 50
_SHOWN_DIGITS: Final = 28
# More digits than are shown, so that 1/3*3 is 1.
_DIGITS: Final = 50
_CONTEXT: Final = decimal.Context(
    prec=_DIGITS,
    Emax=9_999,
    Emin=-9_999,
    traps=[decimal.InvalidOperation, decimal.DivisionByZero, decimal.Overflow],
)

_AS_TYPED: Final = str.maketrans({
    "^": "**",
    "\N{MULTIPLICATION SIGN}": "*",
    "\N{DIVISION SIGN}": "/",
    "\N{MINUS SIGN}": "-",
})  # fmt: skip


def _modulo(a: Decimal, b: Decimal) -> Decimal:
    """With the sign of `b`, as in Python and in books; a Decimal's own has that of `a`."""
    rest = a % b
    return rest + b if rest and (rest < 0) != (b < 0) else rest


def _round(value: Decimal, digits: Decimal = Decimal(0)) -> Decimal:
    if abs(digits) > _SHOWN_DIGITS or digits != int(digits):
        raise ToolInputError(f"round takes at most {_SHOWN_DIGITS} digits, and a whole number of them")
    return value.quantize(Decimal(1).scaleb(-int(digits)), decimal.ROUND_HALF_EVEN)


def _floor(value: Decimal) -> Decimal:
    return value.to_integral_value(decimal.ROUND_FLOOR)


def _ceil(value: Decimal) -> Decimal:
    return value.to_integral_value(decimal.ROUND_CEILING)


def _largest(*values: Decimal) -> Decimal:
    return max(values)


def _smallest(*values: Decimal) -> Decimal:
    return min(values)


def _sum(*values: Decimal) -> Decimal:
    return sum(values, Decimal(0))


def _floor_divide(a: Decimal, b: Decimal) -> Decimal:
    return (a - _modulo(a, b)) / b


_BINARY: Final[dict[type[ast.operator], Callable[[Decimal, Decimal], Decimal]]] = {
    ast.Add: Decimal.__add__,
    ast.Sub: Decimal.__sub__,
    ast.Mult: Decimal.__mul__,
    ast.Div: Decimal.__truediv__,
    ast.FloorDiv: _floor_divide,
    ast.Mod: _modulo,
    ast.Pow: Decimal.__pow__,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Decimal], Decimal]]] = {
    ast.UAdd: Decimal.__pos__,
    ast.USub: Decimal.__neg__,
}
_FUNCTIONS: Final[dict[str, Callable[..., Decimal]]] = {
    "abs": Decimal.__abs__,
    "ceil": _ceil,
    "exp": Decimal.exp,
    "floor": _floor,
    "ln": Decimal.ln,
    "log10": Decimal.log10,
    "max": _largest,
    "min": _smallest,
    "round": _round,
    "sqrt": Decimal.sqrt,
    "sum": _sum,
}
_CONSTANTS: Final = {
    "pi": Decimal("3.1415926535897932384626433832795028841971693993751"),
    "e": Decimal("2.7182818284590452353602874713526624977572470936999"),
}

SYNTAX: Final = (
    f"numbers, + - * / // % ** ( ), the functions {', '.join(_FUNCTIONS)} and the constants {', '.join(_CONSTANTS)}"
)


def calculate(expression: str) -> str:
    """The value, written as a plain number. Raises `ToolInputError` with what is wrong."""
    if len(expression) > MAX_LENGTH:
        raise ToolInputError(f"the expression is longer than {MAX_LENGTH} characters")
    text = expression.strip().translate(_AS_TYPED)
    with decimal.localcontext(_CONTEXT):
        try:
            return _write(_Evaluation(text).value())
        except decimal.DivisionByZero:
            raise ToolInputError("division by zero") from None
        except decimal.Overflow:
            raise ToolInputError("the result is too large") from None
        except decimal.InvalidOperation:
            raise ToolInputError(f"the result is undefined, or needs more than {_DIGITS} digits") from None


class _Evaluation:
    def __init__(self, text: str) -> None:
        self._text = text

    def value(self) -> Decimal:
        try:
            tree = ast.parse(self._text, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise self._refused() from None
        return self._evaluate(tree.body, _MAX_DEPTH)

    def _evaluate(self, node: ast.expr, depth: int) -> Decimal:
        if not depth:
            raise ToolInputError(f"the expression is nested more than {_MAX_DEPTH} levels deep")
        match node:
            case ast.Constant():
                return self._number(node)
            case ast.Name(id=name) if name in _CONSTANTS:
                return _CONSTANTS[name]
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _UNARY:
                return _UNARY[type(op)](self._evaluate(operand, depth - 1))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
                return _BINARY[type(op)](self._evaluate(left, depth - 1), self._evaluate(right, depth - 1))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                return self._call(name, [self._evaluate(each, depth - 1) for each in args])
            case _:
                raise self._refused()

    def _number(self, node: ast.Constant) -> Decimal:
        """From the digits as they are written: 0.1 is a tenth."""
        written = ast.get_source_segment(self._text, node)
        if type(node.value) not in (int, float) or written is None:
            raise self._refused()
        try:
            return +Decimal(written)
        except decimal.InvalidOperation:  # hexadecimal and the like
            raise self._refused() from None

    def _call(self, name: str, arguments: list[Decimal]) -> Decimal:
        try:
            return _FUNCTIONS[name](*arguments)
        except (TypeError, ValueError):
            raise ToolInputError(f"{name} cannot take {len(arguments)} arguments") from None

    def _refused(self) -> ToolInputError:
        return ToolInputError(f"{self._text!r} is not an arithmetic expression; it may have {SYNTAX}")


def _write(value: Decimal) -> str:
    shown = decimal.Context(prec=_SHOWN_DIGITS).plus(value).normalize()
    if shown == 0:
        return "0"
    exponent = shown.adjusted()
    return format(shown, "f") if -_SHOWN_DIGITS < exponent < _SHOWN_DIGITS else str(shown)
