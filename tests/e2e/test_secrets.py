"""What was entrusted to the product stays where it was put."""

import json

import pytest

from tests.fakes.model_server import FakeModelServer
from tests.support.platform import PASSWORD
from tests.support.product import Product

pytestmark = pytest.mark.e2e

KEY = "sk-canary-0123456789"


async def test_no_secret_is_told_by_answers_events_exports_or_logs(mortal: Product, provider: FakeModelServer) -> None:
    ada = await mortal.sign_up("Ada")
    token = ada.http.headers["Authorization"].removeprefix("Bearer ")
    key = (await ada.post("/api-keys", {"name": "k", "scopes": ["models:read"]}))["key"]
    await ada.http.get("/api/v1/models", headers={"Authorization": f"Bearer {key}"})
    workflow = await ada.crew("researcher", "writer")
    worker = await mortal.start_worker()
    told: list[str] = []

    good = await ada.execute(workflow, {"topic": "bees"})
    assert (await ada.finished(good))["status"] == "succeeded"
    provider.fail("error", status=401, message=f"the key {KEY} is not welcome")
    bad = await ada.execute(workflow, {"topic": "bees"})
    assert (await ada.finished(bad))["status"] == "failed"

    for execution in (good, bad):
        for path in (f"/executions/{execution}", f"/executions/{execution}/calls", f"/executions/{execution}/logs"):
            told.append(json.dumps(await ada.get(path)))
        told.append(json.dumps(await ada.stream(execution)))
    for path in ("/models", "/api-keys", f"/workflows/{workflow}/export", "/users/me"):
        told.append((await ada.http.get(f"/api/v1{path}")).text)
    prompts = [json.dumps(call["body"]) for call in provider.journal()]
    await mortal.kill(worker)
    logs = [log.read_text() for log in mortal.logs.iterdir()]

    assert prompts
    assert any("/api/v1/auth/register" in log for log in logs), "the logs are these"
    for secret in (KEY, PASSWORD, token, key, "local-key"):
        assert not any(secret in text for text in (*told, *prompts, *logs))
