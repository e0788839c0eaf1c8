import math

from shared.llm.errors import ProviderError
from shared.web.errors import AppError, Conflict, ErrorDetail, Invalid, NotFound


class ModelNotFound(NotFound):
    code = "model_not_found"
    message = "There is no such model."


class ModelInvalid(Invalid):
    code = "model_invalid"
    message = "The model cannot be kept like this; the details name what to correct."


class ModelNameTaken(Conflict):
    code = "model_name_taken"
    message = "Another model has this name."


class ModelInUse(Conflict):
    code = "model_in_use"
    message = "Agents, workflows or other models use this model; the details name them. Give them another one first."


class ModelKeyUnreadable(Conflict):
    code = "model_key_unreadable"
    message = "The stored API key cannot be decrypted: enter it again."


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
