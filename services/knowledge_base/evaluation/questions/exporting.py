"""Files that can be imported again. Documents are named by their ids, so that no name is ambiguous."""

import csv
import io
from collections.abc import Sequence

import orjson

from services.knowledge_base.evaluation.questions.schemas import ExportFormat
from shared.database.tables.evaluation import EvaluationQuestion

# A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(questions: Sequence[EvaluationQuestion], format_: ExportFormat) -> tuple[bytes, str]:
    """The content and its media type."""
    if format_ == "jsonl":
        return b"".join(_line(question) for question in questions), "application/jsonl"
    return _csv(questions).encode(), "text/csv; charset=utf-8"


def _line(question: EvaluationQuestion) -> bytes:
    expected = [
        {"document_id": one["document_id"], "name": one["name"], "grade": one["grade"]} for one in question.expected
    ]
    line = {"question": question.text, "status": question.status, "source": question.source, "expected": expected}
    return orjson.dumps(line) + b"\n"


def _csv(questions: Sequence[EvaluationQuestion]) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(("question", "document", "name", "grade", "status"))
    for question in questions:
        for one in question.expected:
            row = (question.text, one["document_id"], one["name"], one["grade"], question.status)
            writer.writerow([f" {cell}" if str(cell).startswith(_FORMULA) else cell for cell in row])
    return out.getvalue()
