from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Response, status

from services.workflows.errors import (
    ModelUnknown,
    NoModel,
    NotExportable,
    ProjectInvalid,
    UploadTooLarge,
    UploadUnsupported,
)
from services.workflows.transfer import service
from services.workflows.transfer.exporting import archive_name, as_zip
from services.workflows.transfer.schemas import ExportOut, ImportOut, ImportRequest, TransferFormat
from services.workflows.transfer.upload import read_import
from shared.auth.errors import NotAllowed
from shared.auth.permissions import Permission
from shared.auth.principal import Principal
from shared.executions.errors import VersionNotFound, WorkflowNotFound
from shared.web.dependencies import ReadDb, WriteDb, requires
from shared.web.errors import responses

router = APIRouter(tags=["workflows"])

Reader = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_READ))]
Writer = Annotated[Principal, Depends(requires(Permission.WORKFLOWS_WRITE))]

_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["files"],
    "properties": {
        "files": {
            "type": "array",
            "items": {"type": "string", "format": "binary"},
            "description": "The project's files, or one zip of them.",
        },
        "format": {"type": "string", "enum": [each.value for each in TransferFormat]},
        "bindings": {"type": "string", "description": "A JSON object: task -> agent."},
        "model_id": {"type": "string", "format": "uuid"},
        "name": {"type": "string"},
    },
}
_JSON = ImportRequest.model_json_schema(ref_template="#/components/schemas/{model}")
del _JSON["$defs"]  # the export's answer brings the same ones into the components
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _JSON},
            "multipart/form-data": {"schema": _FORM},
        },
    }
}


@router.post(
    "/workflows/import",
    status_code=status.HTTP_201_CREATED,
    # It adds agents to the pool.
    dependencies=[Depends(requires(Permission.AGENTS_WRITE))],
    responses=responses(NotAllowed, ProjectInvalid, NoModel, ModelUnknown, UploadTooLarge, UploadUnsupported),
    openapi_extra=_BODY,
)
async def import_workflow(
    caller: Writer, request: Annotated[ImportRequest, Depends(read_import)], session: WriteDb
) -> ImportOut:
    """Takes in a crewAI project, or a workflow exported from here, and reports what became of each part.

    Nothing of the project is run, loaded or called. Tasks that name no agent can be bound in `bindings`; those that
    stay unbound are among the workflow's problems.
    """
    return await service.import_workflow(session, caller, request)


@router.get(
    "/workflows/{workflow_id}/export",
    response_model=ExportOut,
    dependencies=[Depends(requires(Permission.AGENTS_READ))],
    responses={
        **responses(NotAllowed, WorkflowNotFound, VersionNotFound, NotExportable),
        200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
    },
)
async def export_workflow(
    workflow_id: UUID,
    session: ReadDb,
    caller: Reader,
    format: TransferFormat = TransferFormat.JSON,
    version: Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Another version than the latest.")] = None,
    archive: Annotated[bool, Query(description="Answer with a zip of the files.")] = False,
) -> ExportOut | Response:
    """The workflow with its agents, as files that the import takes; `report` says what the format cannot hold."""
    name, exported = await service.export_workflow(session, workflow_id, version, format)
    if not archive:
        return exported
    headers = {"Content-Disposition": f'attachment; filename="{archive_name(name)}"'}
    return Response(as_zip(exported.files), media_type="application/zip", headers=headers)
