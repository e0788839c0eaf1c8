"""CEL source to syntax tree, by recursive descent. Nesting is bounded; chains of any length are not nesting."""

from typing import NoReturn

from shared.workflow.cel.errors import ExpressionError
from shared.workflow.cel.lexer import Lexer, Token
from shared.workflow.cel.syntax import (
    Call,
    Chain,
    Conditional,
    Constant,
    Field,
    Index,
    ListLiteral,
    Logic,
    MapLiteral,
    Method,
    Name,
    Node,
    Operation,
    Postfix,
    Step,
    Unary,
)

MAX_NESTING = 20
MAX_INT = 2**63 - 1
MIN_INT = -(2**63)

_CHAINS = (("==", "!=", "<", "<=", ">", ">=", "in"), ("+", "-"), ("*", "/", "%"))
_WORDS = {"true": True, "false": False, "null": None}
_RESERVED = frozenset({
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "in", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip


def parse(source: str) -> Node:
    """The tree of a source that is one expression. Raises `ExpressionError`."""
    parser = _Parser(Lexer(source))
    tree = parser.expression()
    parser.expect_end()
    return tree


def parse_embedded(source: str, start: int) -> tuple[Node, int]:
    """The tree of the expression at `start` that `}}` ends, and the position behind the braces."""
    parser = _Parser(Lexer(source, start))
    tree = parser.expression()
    closing = parser.token.position
    if not source.startswith("}}", closing):
        parser.unexpected("expected }} to end the expression")
    return tree, closing + 2


class _Parser:
    def __init__(self, lexer: Lexer) -> None:
        self._lexer = lexer
        self._nesting = 0
        self.token: Token = lexer.next()

    def expression(self) -> Node:
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ExpressionError(
                f"nested more than {MAX_NESTING} deep: split it over transform steps", self.token.position
            )
        first = value = self._logic("||")
        choices: list[tuple[Node, Node]] = []
        while self._take("?"):
            choices.append((value, self.expression()))
            self._expect(":")
            value = self._logic("||")
        self._nesting -= 1
        return Conditional(tuple(choices), value, first.position) if choices else first

    def expect_end(self) -> None:
        if self.token.kind != "end":
            self.unexpected("expected an operator or the end")

    def unexpected(self, expected: str) -> NoReturn:
        found = f"found {self.token.text!r}" if self.token.kind != "end" else "it ends"
        raise ExpressionError(f"{expected}, but {found}", self.token.position)

    def _advance(self) -> Token:
        taken = self.token
        self.token = self._lexer.next()
        return taken

    def _at(self, *texts: str) -> bool:
        return self.token.kind in ("op", "ident") and self.token.text in texts

    def _take(self, text: str) -> bool:
        if not self._at(text):
            return False
        self._advance()
        return True

    def _expect(self, text: str) -> None:
        if not self._take(text):
            self.unexpected(f"expected {text}")

    def _logic(self, operator: str) -> Node:
        first = self._logic("&&") if operator == "||" else self._chain(0)
        operands = [first]
        while self._take(operator):
            operands.append(self._logic("&&") if operator == "||" else self._chain(0))
        return Logic(operator, tuple(operands), first.position) if len(operands) > 1 else first

    def _chain(self, level: int) -> Node:
        if level == len(_CHAINS):
            return self._unary()
        first = self._chain(level + 1)
        rest: list[Operation] = []
        while self._at(*_CHAINS[level]):
            operator = self._advance()
            rest.append(Operation(operator.text, self._chain(level + 1), operator.position))
        return Chain(first, tuple(rest), first.position) if rest else first

    def _unary(self) -> Node:
        if not self._at("!", "-"):
            return self._postfix()
        operator, count = self._advance(), 1
        while self._take(operator.text):
            count += 1
        if operator.text == "-" and count == 1 and self.token.kind in ("int", "float"):
            return self._postfix(negative=True)
        if self._at("!", "-"):
            self.unexpected("expected a value")
        return Unary(operator.text, count, self._postfix(), operator.position)

    def _postfix(self, *, negative: bool = False) -> Node:
        base = self._number(negative=True) if negative else self._primary()
        steps: list[Step] = []
        while True:
            position = self.token.position
            if self._take("."):
                steps.append(self._member(position))
            elif self._take("["):
                steps.append(Index(self.expression(), position))
                self._expect("]")
            else:
                return Postfix(base, tuple(steps), base.position) if steps else base

    def _member(self, position: int) -> Step:
        if self.token.kind != "ident":
            self.unexpected("expected a field name after the dot")
        name = self._advance().text
        return Method(name, self._list(")"), position) if self._take("(") else Field(name, position)

    def _primary(self) -> Node:
        token = self.token
        match token.kind:
            case "int" | "float":
                return self._number()
            case "string":
                self._advance()
                return Constant(token.text, token.position)
            case "ident":
                return self._word(self._advance())
            case _:
                return self._bracketed()

    def _bracketed(self) -> Node:
        position = self.token.position
        if self._take("("):
            inner = self.expression()
            self._expect(")")
            return inner
        if self._take("["):
            return ListLiteral(self._list("]"), position)
        if self._take("{"):
            return MapLiteral(self._entries(), position)
        self.unexpected("expected a value")

    def _word(self, token: Token) -> Node:
        if token.text in _WORDS:
            return Constant(_WORDS[token.text], token.position)
        if token.text in _RESERVED:
            raise ExpressionError(f"{token.text!r} is a reserved word of CEL", token.position)
        if self._take("("):
            return Call(token.text, self._list(")"), token.position)
        return Name(token.text, token.position)

    def _number(self, *, negative: bool = False) -> Node:
        token = self._advance()
        sign = -1 if negative else 1
        if token.kind == "float":
            number = sign * float(token.text)
            if number in (float("inf"), float("-inf")):
                raise ExpressionError("this number is too large", token.position)
            return Constant(number, token.position)
        hexadecimal = token.text[:2] in ("0x", "0X")
        if len(token.text) > 20:
            raise ExpressionError("this whole number does not fit into 64 bits", token.position)
        whole = sign * int(token.text, 16 if hexadecimal else 10)
        if not MIN_INT <= whole <= MAX_INT:
            raise ExpressionError("this whole number does not fit into 64 bits", token.position)
        return Constant(whole, token.position)

    def _list(self, closing: str) -> tuple[Node, ...]:
        items: list[Node] = []
        while not self._take(closing):
            items.append(self.expression())
            if not self._at(closing):
                self._expect(",")
        return tuple(items)

    def _entries(self) -> tuple[tuple[Node, Node], ...]:
        entries: list[tuple[Node, Node]] = []
        while not self._take("}"):
            key = self.expression()
            self._expect(":")
            entries.append((key, self.expression()))
            if not self._at("}"):
                self._expect(",")
        return tuple(entries)
