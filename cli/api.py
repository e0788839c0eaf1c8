"""The public API as the command uses it: one connection, one sign-in, errors that a person understands."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from cli.credentials import Credentials
from cli.errors import ApiFailure, CommandError, ExitCode
from cli.sse import parse_events

_PREFIX = "/api/v1"
_PATIENCE = 60.0  # a lost event stream is taken up again for so long
_TRIES = 4


class Api:
    """Paths are given without the `/api/v1` before them."""

    def __init__(self, url: str, credentials: Credentials) -> None:
        self.url = url
        self._credentials = credentials
        self._http = httpx.Client(base_url=url.rstrip("/") + _PREFIX, timeout=httpx.Timeout(30, connect=5))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, params={name: value for name, value in query.items() if value is not None})

    def post(self, path: str, body: Any = None, *, idempotency_key: str | None = None, **request: Any) -> Any:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        if body is not None:
            request["json"] = body
        return self._ask("POST", path, headers=headers, retry=idempotency_key is not None, **request)

    def put(self, path: str, body: Any) -> Any:
        return self._ask("PUT", path, json=body)

    def delete(self, path: str) -> Any:
        return self._ask("DELETE", path)

    def upload(self, path: str, files: list[Path]) -> Any:
        """Send files as one multipart request, each under the field `files`."""
        parts = [("files", (file.name, file.read_bytes())) for file in files]
        return self._ask("POST", path, files=parts)

    def items(self, path: str, *, limit: int = 100, **query: Any) -> Iterator[dict[str, Any]]:
        """All items of a list, page by page, at most `limit`."""
        cursor: str | None = None
        while limit > 0:
            page = self.get(path, limit=min(limit, 100), cursor=cursor, **query)
            yield from page["items"]
            limit -= len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def events(self, execution_id: str) -> Iterator[dict[str, Any]]:
        """An execution's events from the first to `done`, whatever happens to the connection in between."""
        last: str | None = None
        lost_at: float | None = None
        while True:
            try:
                for event_id, event in self._stream(execution_id, last):
                    last, lost_at = event_id or last, None
                    yield event
                    if event["type"] == "done":
                        return
            except (httpx.TransportError, _Unavailable) as error:
                lost_at = lost_at or time.monotonic()
                if time.monotonic() - lost_at > _PATIENCE:
                    raise _unreachable(self.url) from error
            time.sleep(0.5)

    def _stream(self, execution_id: str, last: str | None) -> Iterator[tuple[str | None, Any]]:
        headers = {**self._authorization(), "Accept": "text/event-stream"}
        if last is not None:
            headers["Last-Event-ID"] = last
        path = f"/executions/{quote(execution_id, safe='')}/events"
        timeout = httpx.Timeout(60, connect=5)
        with self._http.stream("GET", path, headers=headers, timeout=timeout) as response:
            if response.status_code == 401 and self._credentials.renew(self._http):
                return
            if response.status_code in (429, 502, 503, 504):
                raise _Unavailable
            if response.status_code != 200:
                response.read()
                raise ApiFailure(response.status_code, _body(response))
            yield from parse_events(response.iter_lines())

    def _ask(self, method: str, path: str, *, retry: bool = False, headers: Any = None, **request: Any) -> Any:
        """`retry`: the request may be sent again when it is not known whether it arrived."""
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            try:
                response = self._http.request(
                    method, path, headers={**(headers or {}), **self._authorization()}, **request
                )
            except httpx.TransportError as error:
                never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
                if last or not (never_sent or retry or method == "GET"):
                    raise _unreachable(self.url) from error
            else:
                if response.status_code == 401 and attempt == 1 and self._credentials.renew(self._http):
                    continue
                if response.status_code not in (429, 502, 503, 504) or last:
                    return _answer(response)
                if response.status_code != 429 and not (retry or method == "GET"):
                    return _answer(response)
            time.sleep(0.3 * 2**attempt)
        raise _unreachable(self.url)

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._credentials.token(self._http)}"}


class _Unavailable(Exception):
    """The service is away or asks for patience: try again."""


def _answer(response: httpx.Response) -> Any:
    if response.is_success:
        return response.json() if response.content else None
    raise ApiFailure(response.status_code, _body(response))


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body: Any = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}  # pyright: ignore[reportUnknownVariableType]


def _unreachable(url: str) -> CommandError:
    return CommandError(
        f"Quarterdeck does not answer at {url}.",
        "Start it with `quarterdeck up`, or set QUARTERDECK_URL to where it runs.",
        code=ExitCode.UNREACHABLE,
    )
