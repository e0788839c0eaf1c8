from typing import ClassVar, Self

from shared.web.errors import AppError, ErrorDetail


class NoRoute(AppError):
    status = 404
    code = "not_found"
    message = "There is no such path here."


class MethodNotAllowed(AppError):
    status = 405
    code = "method_not_allowed"
    message = "This path does not take that method."


class BadRequest(AppError):
    """The request cannot be written down so that every reader frames it the same way."""

    status = 400
    code = "bad_request"
    message = "The request is malformed."


class BodyTooLarge(AppError):
    status = 413
    code = "too_large"
    message = "The request's body is larger than this path takes."


class BodyTooSlow(AppError):
    status = 408
    code = "too_slow"
    message = "The request's body did not come in time."


class ForeignOrigin(AppError):
    status = 403
    code = "foreign_origin"
    message = "Pages of this origin may not use the API with a person's cookies."


class UpstreamError(AppError):
    """A service did not answer. Raised with what it did ("closed the connection"), answered with its name."""

    status: ClassVar[int] = 502
    code: ClassVar[str] = "upstream_failed"

    def of(self, service: str) -> Self:
        detail = ErrorDetail(field=None, message=service, code="service")
        return type(self)(f"The service '{service}' {self.text}.", details=[detail])


class BadResponse(UpstreamError):
    """What came back is not HTTP that can be passed on safely, or it ended too early."""


class Unanswered(BadResponse):
    """A connection that had been idle was closed before a single byte of the answer came.

    The service most likely closed it while the request was under way and never saw it.
    """


class Unreachable(UpstreamError):
    status = 503
    code = "upstream_unavailable"


class TimedOut(UpstreamError):
    status = 504
    code = "upstream_timeout"


class ClientGone(Exception):
    """The client left; nobody wants the answer any more."""
