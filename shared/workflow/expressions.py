"""CEL expressions and `{{ CEL }}` templates: compiled once, evaluated on a scope of JSON values.

The scope has `inputs`, `nodes` (`nodes.<id>.output`, or `SKIPPED`), `execution`, and `item` inside a map.
Evaluation is bounded in every direction and touches nothing but the scope: `Meter` counts the work, `cel.values`
has the limits. Values of the scope are shared, never copied: treat them as read-only.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from shared.kit.json import Json, dumps
from shared.workflow.cel.compiler import ROOTS, Compiler
from shared.workflow.cel.errors import ExpressionError, Missing
from shared.workflow.cel.frame import Evaluate, Frame
from shared.workflow.cel.parser import parse, parse_embedded
from shared.workflow.cel.paths import SKIPPED, Path
from shared.workflow.cel.syntax import Constant, Name, Node, Postfix
from shared.workflow.cel.values import MAX_RESULT, Meter, check_result, kind
from shared.workflow.texts import MAX_EXPRESSION, MAX_TEMPLATE

__all__ = [
    "SKIPPED",
    "Expression",
    "ExpressionError",
    "Meter",
    "Missing",
    "Template",
    "compile_expression",
    "compile_template",
]

MAX_PLACEHOLDERS = 500
# What is compiled weighs about 150 times its source, so only a limited amount of source is kept.
_CACHED = 512
_LONGEST_CACHED = 1_000

Scope = Mapping[str, Any]


def _references(paths: Sequence[Path]) -> frozenset[str]:
    return frozenset(".".join(map(str, path[:2])) for path in paths)


class Expression:
    """One compiled expression.

    `paths` are the constant paths it reads (`("nodes", "a", "output", "text")`), `references` their first two
    parts (`"nodes.a"`); a whole root (`"nodes"`) stands for a path that is only known when it runs.
    """

    __slots__ = ("_evaluate", "_plain", "paths", "references", "size", "source")

    def __init__(self, source: str, evaluate: Evaluate, paths: Sequence[Path], *, plain: bool) -> None:
        self.source = source
        self.size = len(source)
        self.paths = tuple(paths)
        self.references = _references(self.paths)
        self._evaluate = evaluate
        self._plain = plain

    def evaluate(self, scope: Scope, meter: Meter | None = None) -> Json:
        """The value. Raises `ExpressionError`; a meter given bounds several evaluations together."""
        meter = meter or Meter()
        value = self._evaluate(Frame(scope, meter))
        if not self._plain:
            check_result(value, meter)
        return value

    def holds(self, scope: Scope, meter: Meter | None = None) -> bool:
        """The value of a condition; one that is not true or false is an error."""
        value = self._evaluate(Frame(scope, meter or Meter()))
        if value is True or value is False:
            return value
        raise ExpressionError(f"a condition must be true or false, but this is {kind(value)}", 0)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"


class Template:
    """Text with expressions in it. Null renders as nothing, strings as they are, all else as JSON.

    `size` is the number of characters that are CEL, their braces counted.
    """

    __slots__ = ("_parts", "paths", "references", "size", "source")

    def __init__(self, source: str, parts: "Sequence[str | Expression]") -> None:
        self.source = source
        self._parts = tuple(parts)
        self.paths = tuple(path for part in parts if isinstance(part, Expression) for path in part.paths)
        self.references = _references(self.paths)
        self.size = sum(part.size + 4 for part in parts if isinstance(part, Expression))

    @property
    def whole(self) -> Expression | None:
        """The expression, if the text is one placeholder and nothing else."""
        match self._parts:
            case (Expression() as expression,):
                return expression
            case _:
                return None

    def render(self, scope: Scope, meter: Meter | None = None) -> str:
        return self._render(scope, meter or Meter(), _as_it_is)

    def render_url(self, scope: Scope, meter: Meter | None = None) -> str:
        """The text as a URL: what placeholders give is percent-encoded, save that of one which it begins with."""
        return self._render(scope, meter or Meter(), _encoded)

    def _render(self, scope: Scope, meter: Meter, encode: Callable[[str, int], str]) -> str:
        left = MAX_RESULT
        texts: list[str] = []
        for place, part in enumerate(self._parts):
            text = part if isinstance(part, str) else encode(_text(part.evaluate(scope, meter)), place)
            left -= len(text)
            if left < 0:
                raise ExpressionError(f"the text becomes longer than {MAX_RESULT:,} characters")
            texts.append(text)
        return "".join(texts)

    def __repr__(self) -> str:
        return f"Template({self.source!r})"


def _as_it_is(text: str, _: int) -> str:
    return text


def _encoded(text: str, place: int) -> str:
    return text if place == 0 else quote(text.encode("utf-8", "replace"), safe="")


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else dumps(value)


def compile_expression(source: str, roots: Sequence[str] = ROOTS) -> Expression:
    """Compiles, or finds what was compiled before. Raises `ExpressionError`. `roots` are the names in the scope."""
    compile_it = _cached_expression if len(source) <= _LONGEST_CACHED else _compile_expression
    return compile_it(source, tuple(roots))


def compile_template(source: str, roots: Sequence[str] = ROOTS) -> Template:
    """As `compile_expression`, for a text with expressions in it."""
    compile_it = _cached_template if len(source) <= _LONGEST_CACHED else _compile_template
    return compile_it(source, tuple(roots))


def _compile_expression(source: str, roots: tuple[str, ...]) -> Expression:
    if len(source) > MAX_EXPRESSION:
        raise ExpressionError(f"an expression may have at most {MAX_EXPRESSION:,} characters", MAX_EXPRESSION)
    return _compile(source, parse(source), roots)


def _compile_template(source: str, roots: tuple[str, ...]) -> Template:
    if len(source) > MAX_TEMPLATE:
        raise ExpressionError(f"a text may have at most {MAX_TEMPLATE:,} characters", MAX_TEMPLATE)
    parts: list[str | Expression] = []
    position = 0
    while (start := source.find("{{", position)) >= 0:
        if len(parts) > 2 * MAX_PLACEHOLDERS:
            raise ExpressionError(f"a text may have at most {MAX_PLACEHOLDERS} expressions in it", start)
        tree, end = parse_embedded(source, start + 2)
        if end - start > MAX_EXPRESSION:
            raise ExpressionError(f"an expression may have at most {MAX_EXPRESSION:,} characters", start)
        parts += [source[position:start], _compile(source[start + 2 : end - 2].strip(), tree, roots)]
        position = end
    parts.append(source[position:])
    return Template(source, [part for part in parts if part != ""])


def _compile(source: str, tree: Node, roots: tuple[str, ...]) -> Expression:
    compiler = Compiler(roots)
    evaluate = compiler.compile(tree)
    paths = sorted(compiler.paths, key=repr)
    return Expression(source, evaluate, paths, plain=_is_plain(tree, paths))


_cached_expression = lru_cache(maxsize=_CACHED)(_compile_expression)
_cached_template = lru_cache(maxsize=_CACHED)(_compile_template)


def _is_plain(tree: Node, paths: Sequence[Path]) -> bool:
    """A constant, or a path and nothing else: what it gives was in the scope before, however large."""
    if isinstance(tree, Postfix):
        return isinstance(tree.base, Name) and len(paths) == 1 and len(paths[0]) == 1 + len(tree.steps)
    return isinstance(tree, Name | Constant)
