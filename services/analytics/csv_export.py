"""The same answers as a table, for who asks with `Accept: text/csv`."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel

MEDIA_TYPE = "text/csv"
# What a spreadsheet would take for a formula. Names come from users.
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

IN_BOTH_FORMS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON, or a table with `Accept: text/csv`.",
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    }
}


def wants_csv(request: Request) -> bool:
    kinds = [kind.split(";")[0].strip().lower() for kind in request.headers.get("accept", "").split(",")]
    return MEDIA_TYPE in kinds and "application/json" not in kinds


def csv_response(name: str, model: type[BaseModel], rows: Sequence[BaseModel]) -> Response:
    """A line of column names, which are there without rows too, and a line for each row."""
    columns = list(model.model_json_schema(mode="serialization")["properties"])
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        values = row.model_dump(mode="json")
        writer.writerow([_cell(values[column]) for column in columns])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.getvalue(), media_type=f"{MEDIA_TYPE}; charset=utf-8", headers=headers)


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_FORMULA_STARTS):
        return f"'{value}"
    return value
