"""Where the API has what is spoken of, as paths below its address."""

from uuid import UUID


def original(document_id: UUID, page: int | None) -> str:
    """A document as it came, at this page."""
    return f"/api/v1/documents/{document_id}/original" + ("" if page is None else f"#page={page}")
