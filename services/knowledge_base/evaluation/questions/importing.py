"""Questions out of files. What is wrong is told by line, all of it at once."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from services.knowledge_base.evaluation.errors import ImportRefused
from services.knowledge_base.evaluation.questions.schemas import (
    MAX_EXPECTED,
    MAX_GRADE,
    MAX_TEXT,
    ImportFormat,
    ImportRequest,
)
from shared.web.errors import ErrorDetail

_MAX_PROBLEMS = 100
_TREC_FIELDS = 4


@dataclass(slots=True)
class Imported:
    """`expected` are grades by the documents' ids or names; `line` is where it begins."""

    line: int
    text: str
    expected: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(slots=True)
class Problems:
    details: list[ErrorDetail] = field(default_factory=list[ErrorDetail])

    def add(self, line: int, message: str, where: str = "content") -> None:
        if len(self.details) < _MAX_PROBLEMS:
            self.details.append(ErrorDetail(field=f"{where}.{line}", message=f"Line {line}: {message}", code="line"))

    def raise_any(self) -> None:
        if self.details:
            raise ImportRefused(details=self.details)


@dataclass(frozen=True, slots=True)
class Parsed:
    questions: list[Imported]
    skipped: int = 0


class _Wrong(Exception):
    pass


def parse(request: ImportRequest) -> Parsed:
    """Raises `ImportRefused`."""
    problems = Problems()
    match request.format:
        case ImportFormat.JSONL:
            parsed = Parsed(list(_jsonl(request.content, problems)))
        case ImportFormat.CSV:
            parsed = Parsed(_csv(request.content, problems))
        case ImportFormat.BEIR:
            parsed = _beir(request.content, request.qrels or "", problems)
    for question in parsed.questions:
        if not any(question.expected.values()):
            problems.add(question.line, "no document with a grade above 0")
        elif len(question.expected) > MAX_EXPECTED:
            problems.add(question.line, f"more than {MAX_EXPECTED} documents")
    problems.raise_any()
    if not parsed.questions:
        raise ImportRefused("Nothing was imported: there is no question in it.")
    return parsed


def _jsonl(content: str, problems: Problems) -> Iterator[Imported]:
    for number, line in _lines(content):
        try:
            value = _object(line)
            expected = value.get("expected")
            if not isinstance(expected, list):
                raise _Wrong("`expected` is no list")
            question = Imported(number, _text(value.get("question")))
            for one in cast(list[Any], expected):
                document, grade = (one, 1) if isinstance(one, str) else _judged(one)
                question.expected[_document(document)] = _grade(grade)
            yield question
        except _Wrong as wrong:
            problems.add(number, str(wrong))


def _judged(one: Any) -> tuple[Any, Any]:
    if not isinstance(one, dict):
        raise _Wrong("a document is neither a name nor an object")
    judged = cast(dict[str, Any], one)
    return judged.get("document_id") or judged.get("document"), judged.get("grade", 1)


def _csv(content: str, problems: Problems) -> list[Imported]:
    reader = csv.reader(io.StringIO(content, newline=""))
    try:
        columns = [name.strip().casefold() for name in next(reader, list[str]())]
        if not {"question", "document"} <= set(columns):
            raise _Wrong("the columns `question` and `document` are missing")
        questions: dict[str, Imported] = {}
        for row in reader:
            number = reader.line_num
            if not any(cell.strip() for cell in row):
                continue
            try:
                _add_row(questions, dict(zip(columns, row, strict=False)), number)
            except _Wrong as wrong:
                problems.add(number, str(wrong))
        return list(questions.values())
    except _Wrong as wrong:
        problems.add(1, str(wrong))
    except csv.Error as error:
        problems.add(reader.line_num, f"no CSV: {error}")
    return []


def _add_row(questions: dict[str, Imported], row: dict[str, str], number: int) -> None:
    text = _text(row.get("question"))
    document, grade = _document(row.get("document")), _grade((row.get("grade") or "").strip() or 1)
    questions.setdefault(text, Imported(number, text)).expected[document] = grade


def _beir(content: str, qrels: str, problems: Problems) -> Parsed:
    judged = _qrels(qrels, problems)
    questions: list[Imported] = []
    queries: set[str] = set()
    skipped = 0
    for number, line in _lines(content):
        try:
            value = _object(line)
            query = str(value.get("_id", ""))
            if not query:
                raise _Wrong("`_id` is missing")
            if query in queries:
                raise _Wrong(f"query {query} is there twice")
            queries.add(query)
            text = _text(value.get("text"))
        except _Wrong as wrong:
            problems.add(number, str(wrong))
            continue
        if query in judged:
            questions.append(Imported(number, text, judged[query]))
        else:
            skipped += 1
    return Parsed(questions, skipped)


def _qrels(qrels: str, problems: Problems) -> dict[str, dict[str, int]]:
    """`query document grade`, or as TREC has them with a column that is always 0 in between."""
    judged: dict[str, dict[str, int]] = {}
    for number, line in _lines(qrels):
        fields = line.split("\t") if "\t" in line else line.split()
        if number == 1 and fields[0].strip().casefold() in ("query-id", "query_id", "qid"):
            continue
        if len(fields) == _TREC_FIELDS:
            del fields[1]
        try:
            if len(fields) != _TREC_FIELDS - 1:
                raise _Wrong("not three columns")
            query, document, grade = (one.strip() for one in fields)
            judged.setdefault(query, {})[_document(document)] = _grade(grade)
        except _Wrong as wrong:
            problems.add(number, str(wrong), "qrels")
    return {query: grades for query, grades in judged.items() if any(grades.values())}


def _lines(content: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(content.removeprefix("\ufeff").split("\n"), start=1):
        if line.strip():
            yield number, line


def _object(line: str) -> dict[str, Any]:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _Wrong(f"no JSON ({error.msg})") from error
    if not isinstance(value, dict):
        raise _Wrong("no JSON object")
    return cast(dict[str, Any], value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("there is no question")
    if len(value.strip()) > MAX_TEXT:
        raise _Wrong(f"the question has more than {MAX_TEXT} characters")
    if "\0" in value:
        raise _Wrong("the question holds NUL characters")
    return value.strip()


def _document(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("a document is missing")
    return value.strip().replace("\0", "")


def _grade(value: Any) -> int:
    try:
        grade = int(value)
    except (TypeError, ValueError):
        grade = -1
    if isinstance(value, float) or not 0 <= grade <= MAX_GRADE:
        raise _Wrong(f"the grade is not one of 0 to {MAX_GRADE}")
    return grade
