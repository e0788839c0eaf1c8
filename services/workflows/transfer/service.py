"""Workflows in and out of a tenant. An import reads texts and writes records: it starts nothing and calls nobody."""

from uuid import UUID

from services.workflows import repository as workflows
from services.workflows.crewai_format.bind import BindingError
from services.workflows.crewai_format.errors import ProjectError
from services.workflows.crewai_format.read import Format
from services.workflows.errors import NotExportable, ProjectInvalid
from services.workflows.transfer.exporting import export_crew, export_own
from services.workflows.transfer.importing import import_crew, import_own
from services.workflows.transfer.own_format import find_workflow_file
from services.workflows.transfer.schemas import ExportOut, ImportOut, ImportRequest, TransferFormat
from shared.auth.principal import Principal
from shared.database.session import ReadSession, WriteSession
from shared.executions.pool import read_pool
from shared.web.errors import ErrorDetail

_MAX_MESSAGE = 500


async def import_workflow(session: WriteSession, caller: Principal, request: ImportRequest) -> ImportOut:
    """Reads files of the format given, or of whichever they are: ours first."""
    try:
        own = find_workflow_file(request.files) if request.format in (None, TransferFormat.JSON) else None
        if own is not None:
            return await import_own(session, caller, request, *own)
        if request.format is TransferFormat.JSON:
            raise ProjectInvalid("None of the files is an exported workflow.")
        format = None if request.format is None else Format(request.format.value)
        return await import_crew(session, caller, request, format)
    except ProjectError as error:
        raise ProjectInvalid(details=_details(error)) from None


async def export_workflow(
    session: ReadSession, workflow_id: UUID, number: int | None, format: TransferFormat
) -> tuple[str, ExportOut]:
    """With the workflow's name."""
    workflow = await workflows.get_workflow(session, workflow_id)
    version = await workflows.get_version(session, workflow, number)
    pool = await read_pool(session, version.graph)
    if format is TransferFormat.JSON:
        return workflow.name, export_own(workflow, version, pool)
    try:
        return workflow.name, export_crew(workflow, version, pool, Format(format.value))
    except ProjectError as error:
        raise NotExportable(details=_details(error)) from None


def _details(error: ProjectError) -> list[ErrorDetail]:
    field = "bindings" if isinstance(error, BindingError) else None
    return [
        ErrorDetail(
            field=field if fault.file is None else f"files.{fault.file}",
            message=str(fault)[:_MAX_MESSAGE],
            code=ProjectInvalid.code,
        )
        for fault in error.faults
    ]
