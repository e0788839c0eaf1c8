"""Tokens of CEL. One regular expression without ambiguous repetition: time is linear in the source."""

import re
from dataclasses import dataclass
from typing import Literal

from shared.workflow.cel.errors import ExpressionError

TokenKind = Literal["end", "ident", "int", "float", "string", "op"]

_TOKEN = re.compile(
    r"""
      (?P<space> (?: [ \t\r\n\f]+ | //[^\n]* )+ )
    | (?P<float> [0-9]*\.[0-9]+ (?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ )
    | (?P<int>   0[xX][0-9a-fA-F]+ | [0-9]+ )
    | (?P<raw>   [rR](?: \"\"\"(?:[^"]|"(?!""))*\"\"\" | '''(?:[^']|'(?!''))*''' | "[^"\n]*" | '[^'\n]*' ) )
    | (?P<string> \"\"\"(?:[^"\\]|\\.|"(?!""))*\"\"\" | '''(?:[^'\\]|\\.|'(?!''))*'''
                | "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' )
    | (?P<bytes> [bB][rR]?["'] )
    | (?P<ident> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<op>    \|\| | && | [<>=!]= | [-+*/%<>!?:.,()\[\]{}] )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:[abfnrtv\\?\"'`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})|\\")
_SIMPLE_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Token:
    kind: TokenKind
    text: str
    position: int
    end: int


class Lexer:
    """Reads one token at a time, so that an expression inside a template is never read past its end."""

    def __init__(self, source: str, position: int = 0) -> None:
        self.source = source
        self.position = position

    def next(self) -> Token:
        while True:
            start = self.position
            if start >= len(self.source):
                return Token("end", "", start, start)
            match = _TOKEN.match(self.source, start)
            if match is None or match.lastgroup is None:
                raise ExpressionError(self._complaint(start), start)
            self.position = match.end()
            if match.lastgroup != "space":
                return self._token(match.lastgroup, match.group(), start)

    def _token(self, group: str, text: str, start: int) -> Token:
        end = self.position
        match group:
            case "raw":
                return Token("string", _unquote(text[1:]), start, end)
            case "string":
                return Token("string", _unescape(_unquote(text), start), start, end)
            case "bytes":
                raise ExpressionError("bytes literals are not supported: values here are JSON", start)
            case "int" if self.source[end : end + 1] in ("u", "U"):
                raise ExpressionError("unsigned numbers are not supported: leave out the u", end)
            case "ident":
                return Token("ident", text, start, end)
            case "int":
                return Token("int", text, start, end)
            case "float":
                return Token("float", text, start, end)
            case _:
                return Token("op", text, start, end)

    def _complaint(self, position: int) -> str:
        found = self.source[position]
        if found in "\"'":
            return "this string is not closed"
        hints = {"=": "; to compare, write ==", "&": "; write &&", "|": "; write ||"}
        return f"{found!r} is not understood here{hints.get(found, '')}"


def _unquote(text: str) -> str:
    width = 3 if text.startswith(('"""', "'''")) and len(text) >= 6 else 1
    return text[width:-width]


def _unescape(text: str, position: int) -> str:
    if "\\" not in text:
        return text

    def expand(match: re.Match[str]) -> str:
        escape = match.group()[1:]
        if not escape:
            raise ExpressionError(r"unknown escape in this string: write \\ for a backslash", position)
        head = escape[0]
        if head in "xXuU":
            return _character(int(escape[1:], 16), position)
        if head in "0123":
            return chr(int(escape, 8))
        return _SIMPLE_ESCAPES.get(head, head)

    return _ESCAPE.sub(expand, text)


def _character(code: int, position: int) -> str:
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ExpressionError("an escape in this string names no character", position)
    return chr(code)
