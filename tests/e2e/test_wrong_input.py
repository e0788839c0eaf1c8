"""Whatever is sent to whichever route: a 4xx of the one error shape, never a 5xx."""

import asyncio
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from schemathesis.generation import GenerationMode

from tests.e2e.routes import PUBLIC, STREAMS, belongings
from tests.support.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EXAMPLES = 25
# A provider that is not there is a 502 by design.
MAY_FAIL_OUTSIDE = {"POST /api/v1/models/{model_id}/test"}


async def test_no_input_makes_a_server_error(mortal: Product) -> None:
    ada = await mortal.sign_up()
    things = await belongings(mortal, ada)
    token = str(ada.http.headers["Authorization"])
    async with httpx.AsyncClient(base_url=mortal.url) as anyone:
        document = (await anyone.get("/api/v1/openapi.json")).json()

    sent = await asyncio.to_thread(_fuzz, document, mortal.url, token, things.ids)

    assert sent > 1000


def _fuzz(document: dict[str, Any], url: str, token: str, ids: dict[str, str]) -> int:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=url)
    sent = 0
    with httpx.Client(base_url=url, headers={"Authorization": token}, timeout=30) as http:
        for found in schema.get_all_operations():
            operation = found.ok()
            if f"{operation.method.upper()} {operation.path}" in PUBLIC or operation.path.endswith(STREAMS):
                continue
            for mode in (GenerationMode.NEGATIVE, GenerationMode.POSITIVE):
                sent += _fuzz_one(operation, mode, http, ids)
    return sent


def _fuzz_one(operation: Any, mode: GenerationMode, http: httpx.Client, ids: dict[str, str]) -> int:
    name = f"{operation.method.upper()} {operation.path}"
    sent = 0

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        verbosity=Verbosity.quiet,
        derandomize=True,
    )
    def send(case: Any) -> None:
        nonlocal sent
        # Half of them reach things that are there, so that more than the 404 is tried.
        if sent % 2 and case.path_parameters:
            case.path_parameters = {key: ids.get(key, value) for key, value in case.path_parameters.items()}
        arguments = case.as_transport_kwargs(base_url=str(http.base_url))
        arguments.pop("headers", None)
        try:
            answer = http.request(**{k: v for k, v in arguments.items() if k in ("method", "url", "params", "json")})
        except (httpx.InvalidURL, UnicodeError, ValueError):
            return  # the client itself refuses to send it
        sent += 1
        assert answer.status_code < 500 or (answer.status_code == 502 and name in MAY_FAIL_OUTSIDE), (
            f"{name}: {answer.status_code} {answer.text} for {arguments}"
        )
        if answer.status_code >= 400:
            error = answer.json()["error"]
            assert set(error) >= {"code", "message", "details", "correlation_id"}, name

    try:
        strategy = operation.as_strategy(generation_mode=mode)
    except Exception:  # noqa: BLE001 - an operation that takes nothing has nothing wrong to send
        return 0
    given(case=strategy)(send)()
    return sent
