"""JSON with comments and trailing commas to a tree that knows its lines."""

import json
import re
from bisect import bisect_right

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.tree import (
    MAX_NUMBER_LENGTH,
    Budget,
    Node,
    Scalar,
    check_text,
    fits_json,
)

# Possessive quantifiers: a hostile file cannot make these backtrack.
_BLANK = re.compile(r"(?:[ \t\r\n\ufeff]++|//[^\r\n]*+|/\*(?:[^*]++|\*(?!/))*+\*/)*+")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\.)*+"')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?")
_WORDS: dict[str, Scalar] = {"true": True, "false": False, "null": None}
_WORD = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*+")


def parse_jsonc(text: str, file: str) -> Node:
    """Raises `ProjectError` naming file and line."""
    check_text(text, file, 1)
    return _Parser(text, file).document()


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._at = 0
        self._budget = Budget(file)
        self._line_starts = [match.end() for match in re.finditer("\n", text)]

    def document(self) -> Node:
        node = self._value(1)
        if self._peek():
            raise self._fault("something follows the end of the document")
        return node

    def _value(self, depth: int) -> Node:
        token = self._peek()
        line = self._line()
        self._budget.spend(1, line)
        self._budget.check_depth(depth, line)
        match token:
            case "{":
                return Node(self._object(depth), line)
            case "[":
                return Node(self._array(depth), line)
            case '"':
                return Node(self._string(), line)
            case "":
                raise self._fault("ends where a value was expected")
            case _:
                return Node(self._literal(), line)

    def _object(self, depth: int) -> dict[str, Node]:
        self._at += 1
        entries: dict[str, Node] = {}
        while self._peek() != "}":
            if self._peek() != '"':
                raise self._fault("a key in double quotes was expected")
            key = self._string()
            if key in entries:
                raise self._fault(f"'{key}' is given twice")
            self._expect(":")
            entries[key] = self._value(depth + 1)
            self._comma("}")
        self._at += 1
        return entries

    def _array(self, depth: int) -> list[Node]:
        self._at += 1
        items: list[Node] = []
        while self._peek() != "]":
            items.append(self._value(depth + 1))
            self._comma("]")
        self._at += 1
        return items

    def _comma(self, end: str) -> None:
        token = self._peek()
        if token == ",":
            self._at += 1
        elif token != end:
            raise self._fault(f"',' or '{end}' was expected")

    def _string(self) -> str:
        match = _STRING.match(self._text, self._at)
        if match is None:
            raise self._fault("a text is not closed, or holds a control character")
        try:
            text: str = json.loads(match.group())
        except ValueError:
            raise self._fault("a text holds an escape that JSON does not know") from None
        check_text(text, self._file, self._line())
        self._at = match.end()
        return text

    def _literal(self) -> Scalar:
        word = _WORD.match(self._text, self._at)
        if word is not None and word.group() in _WORDS:
            self._at = word.end()
            return _WORDS[word.group()]
        number = _NUMBER.match(self._text, self._at)
        if number is None:
            raise self._fault(f"'{self._text[self._at]}' starts no JSON value")
        self._at = number.end()
        return self._number(number.group())

    def _number(self, text: str) -> int | float:
        if len(text) > MAX_NUMBER_LENGTH:
            raise self._fault(f"a number has more than {MAX_NUMBER_LENGTH} characters")
        number = int(text) if text.lstrip("-").isdigit() else float(text)
        if not fits_json(number):
            raise self._fault(f"{text} is too large a number")
        return number

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise self._fault(f"'{token}' was expected")
        self._at += 1

    def _peek(self) -> str:
        """The next character that is neither blank nor comment; empty at the end."""
        match = _BLANK.match(self._text, self._at)
        if match is not None:
            self._at = match.end()
        if self._text.startswith("/*", self._at):
            raise self._fault("a comment is not closed")
        return self._text[self._at : self._at + 1]

    def _line(self) -> int:
        return bisect_right(self._line_starts, self._at) + 1

    def _fault(self, message: str) -> ProjectError:
        return ProjectError(Fault(f"is not valid JSON: {message}", self._file, self._line()))
