from typing import Annotated

from pydantic import Field

from shared.web.schemas import RequestModel, ResponseModel

_MAX = 2**53  # what any client can count to

Own = Annotated[int | None, Field(ge=0, le=_MAX, description="Null: as much as the operator allows.")]


class KnowledgeLimitsPut(RequestModel):
    """All of them: none is kept of those before."""

    max_file_bytes: Annotated[int | None, Field(ge=1, le=_MAX, description="Null: as large as the operator allows.")]
    max_documents: Own
    max_bytes: Own


class Allowed(ResponseModel):
    """Null: the tenant has set no limit of its own."""

    max_file_bytes: int | None
    max_documents: int | None
    max_bytes: int | None


class KnowledgeLimitsOut(ResponseModel):
    """What holds is the lower of the tenant's own limit and the operator's. `bytes` counts all versions of documents
    that are kept, also those that were replaced."""

    max_file_bytes: int
    max_files: int = Field(description="In one request.")
    max_documents: int
    max_bytes: int
    own: Allowed
    operator: Allowed
    documents: int
    bytes: int
