"""Syntax tree to closures: compiled once, called often.

Why not cel-python's evaluator: it cannot be stopped (its lexer alone takes a minute over a string of forty
backslashes), evaluates both sides of `&&`, refuses `1 == 1.0` and needs 0.1 ms for one comparison. The tests
hold the two against each other wherever both define a result.

Where JSON asks for it this dialect is kinder than the standard: whole numbers and doubles mix in arithmetic,
and `has()` answers false wherever a part of the path is missing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from shared.workflow.cel import syntax
from shared.workflow.cel.errors import ExpressionError, Missing, tolerable
from shared.workflow.cel.frame import Evaluate, Frame
from shared.workflow.cel.functions import FUNCTIONS
from shared.workflow.cel.macros import MACROS
from shared.workflow.cel.operators import OPERATORS, negate, truth
from shared.workflow.cel.paths import Path, path_reader, select

ROOTS: Final = ("inputs", "nodes", "item", "iteration", "execution")

_Apply = Callable[[Any, Frame], Any]


class Compiler:
    """Compiles one tree; `paths` then holds every constant path into the scope that it reads."""

    def __init__(self, roots: Sequence[str] = ROOTS) -> None:
        self.paths: set[Path] = set()
        self._roots = roots
        self._bound: list[str] = []
        self._asks_presence = False

    def compile(self, node: syntax.Node) -> Evaluate:
        match node:
            case syntax.Constant(value=value):
                return lambda _: value
            case syntax.Name():
                return self._postfix(node, ())
            case syntax.Postfix():
                return self._postfix(node.base, node.steps)
            case syntax.Call():
                return self._call(node)
            case syntax.ListLiteral() | syntax.MapLiteral():
                return self._literal(node)
            case _:
                return self._operation(node)

    def _literal(self, node: syntax.ListLiteral | syntax.MapLiteral) -> Evaluate:
        return self._list(node) if isinstance(node, syntax.ListLiteral) else self._map(node)

    def _operation(self, node: syntax.Unary | syntax.Chain | syntax.Logic | syntax.Conditional) -> Evaluate:
        match node:
            case syntax.Unary():
                return self._unary(node)
            case syntax.Chain():
                return self._chain(node)
            case syntax.Logic():
                return self._logic(node)
            case syntax.Conditional():
                return self._conditional(node)

    # --- names, fields, calls ---------------------------------------------------------------------------

    def _postfix(self, base: syntax.Node, steps: Sequence[syntax.Step]) -> Evaluate:
        if isinstance(base, syntax.Name):
            start, steps = self._name(base, steps)
        else:
            start = self.compile(base)
        applied = [self._step(step) for step in steps]
        if not applied:
            return start

        def evaluate(frame: Frame) -> Any:
            frame.meter.spend(len(applied))
            value = start(frame)
            for apply in applied:
                value = apply(value, frame)
            return value

        return evaluate

    def _name(self, base: syntax.Name, steps: Sequence[syntax.Step]) -> tuple[Evaluate, Sequence[syntax.Step]]:
        """Reads the longest constant path at once, and leaves the steps behind it."""
        name = base.name
        if name in self._bound:
            return (lambda frame: frame.variables[name]), steps
        if name not in self._roots:
            raise ExpressionError(f"unknown name {name!r}: {', '.join(self._roots)} are known here", base.position)
        keys: list[str | int] = [name]
        for step in steps:
            key = _constant_key(step)
            if key is None:
                break
            keys.append(key)
        path = tuple(keys)
        self.paths.add(path)
        reader = path_reader(path, base.position, skipped_is_missing=self._asks_presence)
        return reader, steps[len(path) - 1 :]

    def _step(self, step: syntax.Step) -> _Apply:
        match step:
            case syntax.Field(name=name, position=position):
                return lambda value, _: select(value, name, position)
            case syntax.Index(index=index, position=position):
                evaluate = self.compile(index)
                return lambda value, frame: select(value, evaluate(frame), position)
            case syntax.Method(name=name) if name in MACROS:
                return self._macro(step)
            case syntax.Method():
                return self._method(step)

    def _macro(self, step: syntax.Method) -> _Apply:
        build, counts = MACROS[step.name]
        if len(step.arguments) - 1 not in counts or not isinstance(step.arguments[0], syntax.Name):
            raise ExpressionError(f"write {step.name}(x, expression with x)", step.position)
        variable = step.arguments[0].name
        if variable in self._roots:
            raise ExpressionError(f"{variable!r} is taken: name the variable otherwise", step.position)
        self._bound.append(variable)
        bodies = [self.compile(argument) for argument in step.arguments[1:]]
        self._bound.pop()
        return build(variable, bodies, step.position)

    def _method(self, step: syntax.Method) -> _Apply:
        function = _function(step.name, len(step.arguments) + 1, step.position)
        arguments = [self.compile(argument) for argument in step.arguments]
        position = step.position

        def apply(value: Any, frame: Frame) -> Any:
            return function([value, *(argument(frame) for argument in arguments)], frame.meter, position)

        return apply

    def _call(self, node: syntax.Call) -> Evaluate:
        if node.name == "has":
            return self._has(node)
        function = _function(node.name, len(node.arguments), node.position)
        arguments = [self.compile(argument) for argument in node.arguments]
        position = node.position

        def evaluate(frame: Frame) -> Any:
            frame.meter.spend()
            return function([argument(frame) for argument in arguments], frame.meter, position)

        return evaluate

    def _has(self, node: syntax.Call) -> Evaluate:
        match node.arguments:
            case (syntax.Postfix(steps=(*_, syntax.Field() | syntax.Index())) as path,):
                self._asks_presence = True
                evaluate = self.compile(path)
                self._asks_presence = False
            case _:
                raise ExpressionError("has() asks for a field: has(nodes.a.output.score)", node.position)

        def present(frame: Frame) -> bool:
            try:
                evaluate(frame)
            except Missing:
                return False
            return True

        return present

    # --- literals -----------------------------------------------------------------------------------------

    def _list(self, node: syntax.ListLiteral) -> Evaluate:
        items = [self.compile(item) for item in node.items]

        def evaluate(frame: Frame) -> list[Any]:
            frame.meter.spend(1 + len(items))
            return [item(frame) for item in items]

        return evaluate

    def _map(self, node: syntax.MapLiteral) -> Evaluate:
        entries = [(self.compile(key), self.compile(value)) for key, value in node.entries]
        position = node.position

        def evaluate(frame: Frame) -> dict[str, Any]:
            frame.meter.spend(1 + len(entries))
            result: dict[str, Any] = {}
            for key_of, value_of in entries:
                key = key_of(frame)
                if not isinstance(key, str):
                    raise ExpressionError("keys of a map must be strings", position)
                if key in result:
                    raise ExpressionError(f"the key {key!r} is given twice", position)
                result[key] = value_of(frame)
            return result

        return evaluate

    # --- operators ----------------------------------------------------------------------------------------

    def _unary(self, node: syntax.Unary) -> Evaluate:
        operand, position = self.compile(node.operand), node.position
        odd = node.count % 2 == 1
        if node.operator == "!":
            return lambda frame: truth(operand(frame), position, "what ! negates") is not odd

        def evaluate(frame: Frame) -> Any:
            value = negate(operand(frame), position)
            return value if odd else negate(value, position)

        return evaluate

    def _chain(self, node: syntax.Chain) -> Evaluate:
        first = self.compile(node.first)
        rest = [(OPERATORS[o.operator], self.compile(o.operand), o.position) for o in node.rest]
        if len(rest) == 1:
            apply, operand, position = rest[0]

            def single(frame: Frame) -> Any:
                frame.meter.spend()
                return apply(first(frame), operand(frame), frame.meter, position)

            return single

        def evaluate(frame: Frame) -> Any:
            frame.meter.spend(len(rest))
            value = first(frame)
            for apply, operand, position in rest:
                value = apply(value, operand(frame), frame.meter, position)
            return value

        return evaluate

    def _logic(self, node: syntax.Logic) -> Evaluate:
        """The first operand that decides wins, even over others that fail: so says CEL."""
        operands = [self.compile(operand) for operand in node.operands]
        decisive = node.operator == "||"
        position, where = node.position, f"what {node.operator} joins"

        def evaluate(frame: Frame) -> bool:
            frame.meter.spend(len(operands))
            failure: ExpressionError | None = None
            for operand in operands:
                try:
                    if truth(operand(frame), position, where) is decisive:
                        return decisive
                except ExpressionError as error:
                    failure = failure or tolerable(error)
            if failure is not None:
                raise failure
            return not decisive

        return evaluate

    def _conditional(self, node: syntax.Conditional) -> Evaluate:
        choices = [(self.compile(test), self.compile(then), test.position) for test, then in node.choices]
        otherwise = self.compile(node.otherwise)

        def evaluate(frame: Frame) -> Any:
            for test, then, position in choices:
                frame.meter.spend()
                if truth(test(frame), position, "what stands before ?"):
                    return then(frame)
            return otherwise(frame)

        return evaluate


def _constant_key(step: syntax.Step) -> str | int | None:
    match step:
        case syntax.Field(name=name):
            return name
        case syntax.Index(index=syntax.Constant(value=str() | int() as key)) if not isinstance(key, bool):
            return key
        case _:
            return None


def _function(name: str, given: int, position: int) -> Any:
    if name not in FUNCTIONS:
        raise ExpressionError(f"unknown function {name!r}: {', '.join(sorted(FUNCTIONS))} are known", position)
    function, counts = FUNCTIONS[name]
    if given not in counts:
        raise ExpressionError(f"{name} takes {counts.start} values (its receiver counted), not {given}", position)
    return function
