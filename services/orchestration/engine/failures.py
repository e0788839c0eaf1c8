"""How an attempt of a step ended badly, and what is told about it."""

import logging
from dataclasses import dataclass

from services.orchestration.engine.aborts import CallInDoubt, JournalDiverged
from services.orchestration.engine.journal import AttemptJournal
from services.orchestration.engine.ports import CallFailed, StepAborted, StepFailed
from shared.kit.json import JsonObject

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """`fresh` says that another attempt must make its calls anew. `error` is what is stored and shown."""

    error: JsonObject
    retryable: bool
    fresh: bool
    retry_after: float = 0.0


def failure_of(error: BaseException, journal: AttemptJournal, node: str) -> Failure:
    match error:
        case CallFailed():
            return _of_call(error, journal.key_of(error), node)
        case StepFailed():
            told = error_object(error.code, error.message, node, retryable=error.retryable, details=error.details)
            return Failure(told, error.retryable, fresh=True)
        case JournalDiverged():
            return Failure(error_object("journal_diverged", str(error), node), retryable=False, fresh=False)
        case CallInDoubt():
            return Failure(error_object("call_in_doubt", str(error), node), retryable=False, fresh=False)
        case StepAborted():
            return Failure(error_object("step_aborted", str(error), node), retryable=False, fresh=False)
        case _:
            return unexpected(error, node)


def timed_out(timeout: float, node: str) -> Failure:
    """What was answered in time counts: another attempt replays it and goes on from there."""
    message = f"it took longer than its timeout of {timeout:g} s"
    return Failure(error_object("timeout", message, node, retryable=True), retryable=True, fresh=False)


def unexpected(error: BaseException, node: str) -> Failure:
    """A fault of ours. The log has all of it, the user learns its kind."""
    logger.error("step %s failed unexpectedly", node, exc_info=error)
    message = f"an internal error ({type(error).__name__}); the worker's log has more"
    return Failure(error_object("internal_error", message, node, retryable=True), retryable=True, fresh=True)


def _of_call(error: CallFailed, key: str | None, node: str) -> Failure:
    told = error_object(
        error.code, error.message, node, retryable=error.retryable, source=error.source, details=error.details
    )
    if key is not None:
        told["call"] = key
    return Failure(told, error.retryable, fresh=key is None, retry_after=error.retry_after or 0.0)


def error_object(
    code: str,
    message: str,
    node: str | None = None,
    *,
    retryable: bool = False,
    source: str | None = None,
    details: JsonObject | None = None,
) -> JsonObject:
    told: JsonObject = {"code": code, "message": message, "retryable": retryable, "node": node}
    if source is not None:
        told["source"] = source
    if details:
        told["details"] = details
    return told


def of_execution(step_error: JsonObject, name: str) -> JsonObject:
    """The execution's error: that of the step which ended it, with the step named."""
    return {**step_error, "message": f"{name}: {step_error['message']}"}
