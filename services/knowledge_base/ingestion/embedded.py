"""What stands for a chunk wherever it is looked for: the same for embeddings and for words."""

from collections.abc import Sequence


def as_embedded(headings: Sequence[str], table_header: str | None, text: str) -> str:
    """With its headings and the head of its table: a paragraph seldom repeats what it is about."""
    return "\n".join(part for part in (" > ".join(headings), table_header, text) if part)
