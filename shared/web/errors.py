"""Business failures carry their own status; one handler gives them, and everything else, the one error shape."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from shared.kit.logging import get_logger
from shared.web.context import correlation_id

log = get_logger(__name__)


class ErrorDetail(BaseModel):
    """Where in the request the fault lies (`field`, dotted), and what it is."""

    field: str | None
    message: str
    code: str


class ErrorBody(BaseModel):
    code: str
    message: str
    details: list[ErrorDetail]
    correlation_id: str


class ErrorResponse(BaseModel):
    error: ErrorBody


class AppError(Exception):
    """Base of all failures that a caller should hear of. Subclasses set the three class attributes."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    message: ClassVar[str] = "Something went wrong on our side."

    def __init__(
        self,
        message: str | None = None,
        *,
        details: Sequence[ErrorDetail] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        self.text = message or self.message
        self.details = list(details)
        self.headers = headers or {}
        super().__init__(self.text)


class NotFound(AppError):
    status = 404
    code = "not_found"
    message = "There is no such thing here, or it is not yours."


class Conflict(AppError):
    status = 409
    code = "conflict"
    message = "The current state does not allow this."


class Invalid(AppError):
    status = 422
    code = "invalid"
    message = "The request is not valid."


def error_body(code: str, message: str, details: Sequence[ErrorDetail] = ()) -> dict[str, Any]:
    """The one error shape, as a dict ready for JSON."""
    return ErrorResponse(
        error=ErrorBody(code=code, message=message, details=list(details), correlation_id=correlation_id())
    ).model_dump()


def responses(*errors: type[AppError]) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses=`: the failures it declares, in the one shape."""
    by_status: dict[int | str, dict[str, Any]] = {}
    for error in errors:
        known = by_status.setdefault(error.status, {"model": ErrorResponse, "description": ""})
        known["description"] = " · ".join(filter(None, (known["description"], f"`{error.code}`: {error.message}")))
    return by_status


def _answer(status: int, code: str, message: str, details: Sequence[ErrorDetail], headers: dict[str, str]) -> Response:
    return JSONResponse(error_body(code, message, details), status_code=status, headers=headers)


async def _app_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, AppError)
    return _answer(error.status, error.code, error.text, error.details, error.headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if faults and all(tuple(item["loc"]) == ("body",) for item in faults) and _is_other_than_json(request):
        return _answer(415, _HTTP_CODES[415], "Send the body as JSON, with `Content-Type: application/json`.", (), {})
    return _answer(422, Invalid.code, Invalid.message, [_detail(item) for item in faults], {})


def _is_other_than_json(request: Request) -> bool:
    """Whether a body came that was not even read as JSON. Without a body there is no length and no type."""
    has_body = request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return has_body and not re.fullmatch(r"application/([^/]+\+)?json", media_type)


def _detail(fault: dict[str, Any]) -> ErrorDetail:
    match fault["type"], tuple(fault["loc"]):
        case "json_invalid", ("body", place):
            reason = str(fault.get("ctx", {}).get("error", "it ends too early"))
            return ErrorDetail(field=None, message=f"not JSON, at character {place}: {reason}", code=fault["type"])
        case "missing", ("body",):
            return ErrorDetail(field=None, message="a JSON body is required", code=fault["type"])
        case _, location:
            return ErrorDetail(field=_field(location), message=validation_message(fault), code=fault["type"])


_PLAIN = {
    "a valid tuple": "a list",
    "a valid dictionary or object to extract fields from": "an object",
    "a valid dictionary": "an object",
    "Dictionary should have": "The object should have",
    " after validation": "",
    "Input should have timezone info": "Name the time zone too, as in 2027-01-31T09:00:00Z",
}


def validation_message(fault: Mapping[str, Any]) -> str:
    """Pydantic's words for what is wrong with a value, without those that only a Python programmer knows."""
    message: str = fault["msg"].removeprefix("Value error, ")
    for technical, plain in _PLAIN.items():
        message = message.replace(technical, plain)
    return message


def _field(location: Sequence[Any]) -> str | None:
    # The first part says where (body, query, path); a caller knows a body field by the rest alone.
    parts = location[1:] if location and location[0] == "body" else location
    return ".".join(str(part) for part in parts) or None


_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large", 415: "unsupported_media_type"}


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code, "bad_request")
    message, headers = str(error.detail), dict(error.headers or {})
    if error.status_code == 405:
        # The router names the methods of one of the routes only.
        allowed = ", ".join(sorted(_methods(request)))
        message, headers["Allow"] = f"This path does not take {request.method}, but {allowed}.", allowed
    return _answer(error.status_code, code, message, (), headers)


def _methods(request: Request) -> set[str]:
    """Those that some route takes at the request's path."""
    scope = dict(request.scope)
    methods: set[str] = set()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        scope["method"] = method
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            methods.add(method)
    return methods


async def _unexpected(_: Request, error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return _answer(500, AppError.code, AppError.message, (), {})


def install(app: FastAPI) -> None:
    app.add_exception_handler(AppError, _app_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unexpected)
