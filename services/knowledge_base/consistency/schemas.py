from uuid import UUID

from shared.web.schemas import RequestModel, ResponseModel


class CheckRequest(RequestModel):
    repair: bool = False


class WorkOut(ResponseModel):
    """The execution that does it; its output is the report."""

    execution_id: UUID
