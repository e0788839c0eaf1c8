from shared.auth.errors import NotAllowed
from shared.web.errors import Conflict, Invalid, NotFound


class ExecutionNotFound(NotFound):
    code = "execution_not_found"
    message = "There is no such execution."


class ExecutionEnded(Conflict):
    code = "execution_ended"
    message = "The execution has already ended."


class ExecutionStopping(Conflict):
    code = "execution_stopping"
    message = "The execution has been asked to stop."


class NotPaused(Conflict):
    code = "not_paused"
    message = "The execution is not paused."


class ExecutionNotEnded(Conflict):
    code = "execution_not_ended"
    message = "The execution has not ended yet."


class IdempotencyMismatch(Conflict):
    code = "idempotency_mismatch"
    message = "This Idempotency-Key was used for another request."


class WorkflowNotFound(NotFound):
    code = "workflow_not_found"
    message = "There is no such workflow."


class VersionNotFound(NotFound):
    code = "version_not_found"
    message = "The workflow has no such version."


class InboxItemNotFound(NotFound):
    code = "inbox_item_not_found"
    message = "There is no such inbox item."


class InboxItemSettled(Conflict):
    """The details say how (`status`), and of an answer what it was, who gave it and when (`action`, `by`, `at`)."""

    code = "inbox_item_settled"
    message = "The item is settled already."


class ShownHashMismatch(Conflict):
    code = "shown_hash_mismatch"
    message = "What was shown is not what the item asks: read it again."


class NotAssigned(NotAllowed):
    code = "not_assigned"
    message = "The item is for somebody else to answer."


class ActionNotOffered(Invalid):
    code = "action_not_offered"
    message = "The item does not offer this action."


class PayloadInvalid(Invalid):
    code = "payload_invalid"
    message = "The payload does not fit what the item asks."
