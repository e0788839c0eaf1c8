"""What the log says, and what it keeps to itself."""

import json
import subprocess
import sys

import pytest

_FAILING = """
import logging, sys
from shared.kit.logging import configure_logging, get_logger

configure_logging("INFO", sys.argv[1])

def fail(local):
    raise LookupError("nothing there")

get_logger("ours").warning("careful", password="canary", api_key="canary", input_tokens=7)
for log in (get_logger("ours"), logging.getLogger("a.library")):
    try:
        fail("can" + "ary")
    except LookupError:
        log.exception("went wrong")
"""


@pytest.mark.parametrize("form", ["json", "console"])
def test_errors_are_told_in_full_and_secrets_are_not(form: str) -> None:
    """In a process of its own: logging is set up for good."""
    done = subprocess.run(
        [sys.executable, "-c", _FAILING, form], capture_output=True, text=True, timeout=60, check=True
    )

    assert "canary" not in done.stderr + done.stdout
    assert done.stderr.count("LookupError: nothing there") == 2
    assert done.stderr.count("in fail") == 2
    if form == "json":
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert [line["level"] for line in lines] == ["warning", "error", "error"]
        assert (lines[0]["password"], lines[0]["input_tokens"]) == ("[redacted]", 7)
