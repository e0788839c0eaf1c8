"""Comma-, semicolon-, tab- or bar-separated values, in any common encoding: one table."""

import csv
import io
import re
from collections import Counter
from itertools import islice
from pathlib import PurePath
from typing import Literal

from services.knowledge_base.ingestion.extract.compose import Composer, check_length, looks_like_head, one_line
from services.knowledge_base.ingestion.extract.model import ContentLimits, DocumentFormat, Extracted, Source
from services.knowledge_base.ingestion.extract.text import decode

_DELIMITERS = ",;\t|"
_SAMPLE_ROWS = 100
_SAMPLE = 50_000
_MOST_LINES = 3
# Excel's way to say what parts the columns.
_SAID = re.compile(r'"?sep=(.)"?\r?\n', re.I)
_DECIMAL_COMMA = re.compile(r"\d,\d")


def extract_csv(source: Source, limits: ContentLimits) -> Extracted:
    text = decode(source.read())
    check_length(len(text), limits)
    csv.field_size_limit(limits.characters)
    said = _SAID.match(text)
    if said:
        text, delimiter = text[said.end() :], said[1]
    else:
        delimiter = find_delimiter(text, source.name)
    composer = Composer(limits)
    rows = [row for row in _rows(text, delimiter) if any(row)]
    if not delimiter or max(map(len, rows), default=0) < 2:
        for row in rows:
            composer.block(" ".join(row), item=True)
    else:
        composer.table(rows, head=looks_like_head(rows))
    return composer.extracted(DocumentFormat.CSV)


def find_delimiter(text: str, name: str) -> str:
    """The one that cuts most lines into as many fields each; "" if none cuts any."""
    sample = text[:_SAMPLE]
    if len(text) > _SAMPLE:
        sample = sample[: sample.rfind("\n") + 1] or sample
    likely = "\t" if PurePath(name).suffix.lower() in (".tsv", ".tab") else ","
    scores = {delimiter: _score(sample, delimiter, delimiter == likely) for delimiter in _DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])
    return best if scores[best][0] else ""


def _score(sample: str, delimiter: str, likely: bool) -> tuple[float, bool, int]:
    """How many of the lines have the commonest number of fields, then the likelier, then the more fields."""
    rows = islice(
        (row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=delimiter) if row), _SAMPLE_ROWS
    )
    counts = Counter(len(row) for row in rows)
    if not counts:
        return 0.0, likely, 0
    fields, lines = max(counts.items(), key=lambda item: (item[0] > 1, item[1], item[0]))
    if fields < 2:
        return 0.0, likely, 0
    # Where a comma parts a number's decimals, some other sign parts the fields.
    doubt = 0.5 if delimiter == "," and len(_DECIMAL_COMMA.findall(sample)) >= sample.count(",") > 0 else 1.0
    return round(lines / counts.total() * doubt, 2), likely, fields


def _rows(text: str, delimiter: str) -> list[list[str]]:
    rows = _read(text, delimiter, csv.QUOTE_MINIMAL)
    if text.count('"') % 2 and rows and any(cell.count("\n") > _MOST_LINES for cell in rows[-1]):
        # A mark that was opened and never closed swallowed the rest.
        rows = _read(text, delimiter, csv.QUOTE_NONE)
    return [[one_line(cell) for cell in row] for row in rows]


def _read(text: str, delimiter: str, quoting: Literal[0, 3]) -> list[list[str]]:
    lines = io.StringIO(text, newline="")
    return list(csv.reader(lines, delimiter=delimiter or ",", skipinitialspace=True, quoting=quoting))
