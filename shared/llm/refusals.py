"""Why a model could not be asked, as whoever calls the API hears of it."""

import math

from shared.llm.errors import ProviderError
from shared.web.errors import AppError, Conflict, ErrorDetail, Invalid


class ModelGone(Conflict):
    code = "model_gone"
    message = "The model does not exist any more: choose another one."


class ModelKindWrong(Invalid):
    code = "model_kind_wrong"
    message = "The model is of another kind than is needed here."


class ModelKeyUnreadable(Conflict):
    code = "model_key_unreadable"
    message = "The stored API key cannot be decrypted: enter it again."


class BudgetExceeded(Conflict):
    code = "budget_exceeded"
    message = "A budget has not enough left for this call; the details name it."


class _ProviderFailed(AppError):
    def __init__(self, error: ProviderError) -> None:
        details = [ErrorDetail(field="provider", message=error.provider, code=error.code)]
        headers: dict[str, str] = {}
        if error.retry_after is not None:
            seconds = str(math.ceil(error.retry_after))
            details.append(ErrorDetail(field="retry_after", message=seconds, code="seconds"))
            headers["Retry-After"] = seconds
        super().__init__(str(error), details=details, headers=headers)


class ProviderRefused(_ProviderFailed):
    status = 502
    code = "provider_refused"
    message = "The provider did not give a usable answer."


class ProviderUnavailable(_ProviderFailed):
    status = 503
    code = "provider_unavailable"
    message = "The provider cannot answer now; a later try may work."


def refusal(error: ProviderError) -> ProviderRefused | ProviderUnavailable:
    return (ProviderUnavailable if error.retryable else ProviderRefused)(error)
