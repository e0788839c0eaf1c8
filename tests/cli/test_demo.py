"""The demo as a stranger runs it: on the local model, from documents to an answer that stands in them."""

import json
from pathlib import Path

import pytest

from cli.stack.layout import cache_directory
from cli.stack.weights import QWEN
from tests.cli.machine import make_machine

pytestmark = [pytest.mark.e2e, pytest.mark.local_model, pytest.mark.timeout(900)]


@pytest.mark.skipif(not QWEN.path(cache_directory()).exists(), reason="`make demo` fetches the model's weights")
def test_the_answer_stands_in_the_handbook(tmp_path: Path) -> None:
    machine = make_machine(tmp_path)
    done = machine.run("demo", "--port", str(machine.port), "--model", "qwen", within=800)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout.splitlines()[-1])
    answer = outcome["output"]["answer"]
    assert "24 hours" in answer
    assert "free of charge" in answer or "covered" in answer
    assert "→ knowledge_search(" in done.stderr
    assert machine.run("status").returncode == 3
