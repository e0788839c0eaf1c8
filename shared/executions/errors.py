from shared.web.errors import Conflict, NotFound


class ExecutionNotFound(NotFound):
    code = "execution_not_found"
    message = "There is no such execution."


class ExecutionEnded(Conflict):
    code = "execution_ended"
    message = "The execution has already ended."


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used for another request."


class WorkflowNotFound(NotFound):
    code = "workflow_not_found"
    message = "There is no such workflow."


class VersionNotFound(NotFound):
    code = "version_not_found"
    message = "The workflow has no such version."
