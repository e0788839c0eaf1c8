from shared.web.errors import AppError, Conflict, Invalid


class GraphInvalid(Invalid):
    code = "graph_invalid"
    message = "The graph is not of spec version 1; the details name the places."


class VersionConflict(Conflict):
    code = "version_conflict"
    message = "The workflow was changed meanwhile."


class VersionMissing(Invalid):
    code = "version_missing"
    message = "Say which version you changed, in `version` or in If-Match."


class WorkflowInUse(Conflict):
    code = "workflow_in_use"
    message = "Other workflows start this one; the details name them. Take it out of them first."


class WorkflowBusy(Conflict):
    code = "workflow_busy"
    message = "Executions of this workflow have not ended yet: wait for them, or cancel them."


class ProjectInvalid(Invalid):
    code = "project_invalid"
    message = "The project cannot be read; the details name the files and lines."


class NoModel(Invalid):
    code = "no_model"
    message = "The agents need a model, and there is none: add one first."


class ModelUnknown(Invalid):
    code = "model_unknown"
    message = "There is no such model."


class NotExportable(Invalid):
    code = "not_exportable"
    message = "The workflow cannot be said in this format."


class UploadTooLarge(AppError):
    status = 413
    code = "too_large"
    message = "The upload is too large."


class UploadUnsupported(AppError):
    status = 415
    code = "unsupported_media_type"
    message = "Send application/json, or multipart/form-data with `files`."
