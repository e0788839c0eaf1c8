"""Passages as a prompt shows them: numbered and with their source, so that they can be cited."""

import re
from collections.abc import Iterable, Sequence

from services.orchestration.engine.ports import Passage

# What a citation looks like: "[1]", and "[1, 2]" for two at once.
MARK = re.compile(r"\[(\d{1,6}(?:\s*[,;]\s*\d{1,6})*)\]")


def numbered(found: Sequence[Passage]) -> str:
    return written(enumerate(found, start=1))


def written(found: Iterable[tuple[int, Passage]]) -> str:
    """Numbers in brackets are ours alone: a document's own, whether it counts its references or pretends to be another
    passage, stand in round ones."""
    return "\n\n".join(
        f"[{number}] {_unmarked(' '.join(source_of(passage).split()))}\n{_unmarked(passage.text)}"
        for number, passage in found
    )


def source_of(passage: Passage) -> str:
    """Such as `handbook.pdf, page 3`; where there are no pages, the nearest heading."""
    names = [passage.document_name]
    if passage.part:
        names.append(passage.part)
    if passage.page is not None:
        names.append(f"page {passage.page}")
    elif passage.headings:
        names.append(passage.headings[-1])
    return ", ".join(names)


def _unmarked(text: str) -> str:
    return MARK.sub(r"(\1)", text)
