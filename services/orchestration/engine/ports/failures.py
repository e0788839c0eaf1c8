"""How what the engine asks of the world ends badly."""

from shared.kit.json import JsonObject


class Superseded(Exception):
    """Another worker holds this execution now: this worker's write changed nothing and it must stop."""


class CallFailed(Exception):
    """A call outside the worker failed after the port's own retries. `source` names the provider or tool."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        source: str,
        retryable: bool,
        retry_after: float | None = None,
        details: JsonObject | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.source = source
        self.retryable = retryable
        self.retry_after = retry_after
        self.details: JsonObject = details or {}


class StepFailed(Exception):
    """A step cannot give its output for a reason of its own, such as an answer in the wrong form.

    A further attempt, if the node allows one and `retryable` is true, makes all its calls afresh.
    """

    def __init__(self, message: str, *, code: str, retryable: bool = True, details: JsonObject | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.retryable = retryable
        self.details: JsonObject = details or {}


class StepAborted(BaseException):
    """Stops a step from inside an agent library that swallows `Exception` (cancel, park, divergence).

    A BaseException on purpose: crewAI catches `Exception` and feeds it to the model as a tool error.
    """
