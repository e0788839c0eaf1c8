"""Passages as a prompt shows them: numbered and with their source, so that they can be cited."""

from collections.abc import Iterable, Sequence

from services.orchestration.engine.ports import Passage


def numbered(found: Sequence[Passage]) -> str:
    return written(enumerate(found, start=1))


def written(found: Iterable[tuple[int, Passage]]) -> str:
    return "\n\n".join(f"[{number}] {source_of(passage)}\n{passage.text}" for number, passage in found)


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
