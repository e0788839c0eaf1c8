"""The command's connection to the API, against a server that behaves badly in the ways that networks do."""

import json
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from cli.api import Api
from cli.credentials import ApiKey
from cli.errors import ApiFailure, CommandError, ExitCode
from cli.stack.ports import find_free

Behaviour = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class BadServer:
    """Answers the n-th request with the n-th behaviour; `requests` is what it was asked."""

    url: str
    behaviours: list[Behaviour]
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


def answer(status: int, body: Any = None, **headers: str) -> Behaviour:
    def behave(handler: BaseHTTPRequestHandler) -> None:
        data = b"" if body is None else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return behave


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True
    handler.connection.close()


def stream(*events: tuple[int, str], then: bytes = b"") -> Behaviour:
    """An event stream that ends after these events, with `then` as a last, cut-off piece."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(b": hello\n\n")
        for seq, type_ in events:
            data = json.dumps({"seq": seq, "type": type_, "step": None, "data": {}})
            handler.wfile.write(f"id: {seq}\nevent: {type_}\ndata: {data}\n\n".encode())
        handler.wfile.write(then)
        handler.close_connection = True

    return behave


@pytest.fixture
def server() -> Generator[Callable[..., BadServer]]:
    started: list[ThreadingHTTPServer] = []

    def start(*behaviours: Behaviour) -> BadServer:
        state = BadServer("", list(behaviours))

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _handle(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                state.requests.append((self.command, self.path, dict(self.headers)))
                state.behaviours.pop(0)(self)

            do_GET = do_POST = _handle

            def log_message(self, format: str, *args: Any) -> None:
                return

        http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        started.append(http)
        threading.Thread(target=http.serve_forever, daemon=True).start()
        state.url = f"http://127.0.0.1:{http.server_port}"
        return state

    yield start
    for http in started:
        http.shutdown()
        http.server_close()


def connect(server: BadServer) -> Api:
    return Api(server.url, ApiKey("key"))


def test_an_event_stream_that_breaks_is_taken_up_where_it_was(server: Callable[..., BadServer]) -> None:
    bad = server(
        stream((1, "execution.status"), (2, "step.started"), then=b'id: 3\ndata: {"half": '),
        answer(503),
        hang_up,
        stream((3, "step.finished"), (4, "done")),
    )
    with connect(bad) as api:
        assert [event["seq"] for event in api.events("x")] == [1, 2, 3, 4]
    assert [headers.get("Last-Event-ID") for _, _, headers in bad.requests] == [None, "2", "2", "2"]


def test_a_start_is_sent_again_with_the_same_key(server: Callable[..., BadServer]) -> None:
    bad = server(hang_up, answer(502), answer(202, {"id": "e1"}))
    with connect(bad) as api:
        assert api.post("/executions", {}, idempotency_key="k1") == {"id": "e1"}
    assert [headers["Idempotency-Key"] for _, _, headers in bad.requests] == ["k1", "k1", "k1"]


def test_what_may_have_been_done_is_not_done_twice(server: Callable[..., BadServer]) -> None:
    bad = server(hang_up)
    with connect(bad) as api, pytest.raises(CommandError, match="does not answer"):
        api.post("/agents", {"name": "a"})
    assert len(bad.requests) == 1


def test_too_many_requests_means_patience(server: Callable[..., BadServer]) -> None:
    bad = server(answer(429), answer(201, {"id": "a"}))
    with connect(bad) as api:
        assert api.post("/agents", {"name": "a"}) == {"id": "a"}


def test_an_error_names_the_fields(server: Callable[..., BadServer]) -> None:
    details = [{"field": "graph.nodes", "message": "is missing", "code": "missing"}]
    error = {"code": "invalid", "message": "The request is not valid.", "details": details, "correlation_id": "c1"}
    bad = server(answer(422, {"error": error}))
    with connect(bad) as api, pytest.raises(ApiFailure) as failure:
        api.post("/workflows", {})
    assert failure.value.problem == "The request is not valid.\n  - graph.nodes: is missing"
    assert failure.value.code == ExitCode.FAILED


def test_who_is_not_let_in_is_told_how_to_get_in(server: Callable[..., BadServer]) -> None:
    error = {"code": "not_authenticated", "message": "Not signed in.", "details": [], "correlation_id": "c1"}
    bad = server(answer(401, {"error": error}))
    with connect(bad) as api, pytest.raises(ApiFailure) as failure:
        api.get("/users/me")
    assert "quarterdeck login" in failure.value.advice
    assert failure.value.code == ExitCode.UNREACHABLE


def test_an_answer_that_is_no_json_is_still_told(server: Callable[..., BadServer]) -> None:
    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(404)
        handler.send_header("Content-Length", "5")
        handler.end_headers()
        handler.wfile.write(b"<h1>!")

    with connect(server(page)) as api, pytest.raises(ApiFailure, match="The answer was 404"):
        api.get("/users/me")


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.api.time.sleep", lambda _seconds: None)
    with Api(f"http://127.0.0.1:{find_free()}", ApiKey("key")) as api, pytest.raises(CommandError) as failure:
        api.get("/users/me")
    assert "quarterdeck up" in failure.value.advice
    assert failure.value.code == ExitCode.UNREACHABLE


def test_lists_are_read_page_by_page(server: Callable[..., BadServer]) -> None:
    bad = server(
        answer(200, {"items": [{"id": 1}, {"id": 2}], "next_cursor": "c"}),
        answer(200, {"items": [{"id": 3}], "next_cursor": None}),
    )
    with connect(bad) as api:
        assert [item["id"] for item in api.items("/agents", q="x")] == [1, 2, 3]
    assert httpx.URL(bad.requests[1][1]).params["cursor"] == "c"
