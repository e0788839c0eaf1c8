"""The small parts of the command: inputs, events as text, a project's files, credentials."""

import json
import os
import stat
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cli.commands.project import read_project
from cli.credentials import ApiKey, find_credentials, find_url
from cli.errors import CommandError, ExitCode
from cli.inputs import parse_inputs
from cli.sse import parse_events
from cli.stack.diagnosis import explain
from cli.stack.environment import application_url
from cli.stack.files import write_json
from cli.stack.layout import PROJECT_ROOT, Home
from cli.view import ExecutionView

SCHEMA = {
    "type": "object",
    "properties": {
        "topic": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array"},
        "either": {"type": ["null", "number"]},
    },
    "required": ["topic"],
}


class TestInputs:
    def test_values_have_the_types_that_the_workflow_wants(self) -> None:
        pairs = ["topic=12", "count=3", 'tags=["a", "b"]', "either=null"]
        assert parse_inputs(pairs, SCHEMA) == {"topic": "12", "count": 3, "tags": ["a", "b"], "either": None}

    def test_a_value_may_hold_an_equals_sign_and_nothing(self) -> None:
        assert parse_inputs(["topic=a=b"], SCHEMA) == {"topic": "a=b"}
        assert parse_inputs(["topic="], SCHEMA) == {"topic": ""}

    @pytest.mark.parametrize(
        ("pairs", "problem"),
        [
            (["topic"], "is not of the form name=value"),
            (["=x"], "is not of the form name=value"),
            (["topic=a", "colour=red"], "has no input 'colour'"),
            (["topic=a", "count=three"], "is not integer"),
            ([], "The workflow needs topic"),
        ],
    )
    def test_what_is_wrong_is_said_before_anything_is_sent(self, pairs: list[str], problem: str) -> None:
        with pytest.raises(CommandError, match=problem) as failure:
            parse_inputs(pairs, SCHEMA)
        assert failure.value.code == ExitCode.USAGE


class TestView:
    def show(self, *events: tuple[str, str | None, dict[str, Any]]) -> str:
        text = StringIO()
        view = ExecutionView(Console(file=text, width=200, no_color=True))
        for type_, node, data in events:
            step = {"node": node, "path": "", "attempt": 1} if node else None
            view.show({"seq": 1, "type": type_, "step": step, "data": data})
        return text.getvalue()

    def test_a_run_reads_like_a_conversation(self) -> None:
        shown = self.show(
            ("execution.status", None, {"status": "running"}),
            ("step.started", "crew", {"type": "crew", "name": "Answer"}),
            ("message.delta", "crew", {"text": "Tides ", "agent": "Researcher", "call": "1"}),
            ("message.delta", "crew", {"text": "turn.\nTwice.", "agent": "Researcher", "call": "1"}),
            ("tool.call", "crew", {"call": "2", "name": "knowledge_search", "arguments": {"query": "tides"}}),
            ("tool.result", "crew", {"call": "2", "name": "knowledge_search", "result": "found\nit"}),
            ("message.delta", "crew", {"text": "Done.", "agent": "Writer", "call": "3"}),
            ("step.finished", "crew", {"status": "succeeded", "output": {}, "error": None, "duration_ms": 1500}),
            ("step.skipped", "other", {}),
            ("done", None, {"status": "succeeded", "output": {}, "error": None}),
        )
        assert [line.rstrip() for line in shown.splitlines()] == [
            "▸ Answer crew",
            "    Researcher",
            "    Tides turn.",
            "    Twice.",
            "    → knowledge_search(query=tides)",
            "    ← found it",
            "    Writer",
            "    Done.",
            "✓ Answer 1.5 s",
            "- other skipped",
        ]

    def test_markup_in_what_models_say_is_only_text(self) -> None:
        shown = self.show(
            ("step.started", "a", {"type": "agent_task", "name": "[bold]x[/bold]"}),
            ("message.delta", "a", {"text": "[red]not red[/red] \x1b[31m", "call": "1"}),
        )
        assert "[bold]x[/bold]" in shown
        assert "[red]not red[/red]" in shown
        assert "\x1b" not in shown

    def test_a_failure_says_why(self) -> None:
        error = {"code": "provider_error", "message": "The provider answered 500."}
        shown = self.show(
            ("step.finished", "a", {"status": "failed", "output": None, "error": error, "duration_ms": 10})
        )
        assert "The provider answered 500. (provider_error)" in shown


class TestProject:
    def test_only_its_texts_are_read(self, tmp_path: Path) -> None:
        for name in ("agents.yaml", "config/tasks.yml", "crew.py", ".env", ".git/x.json", "node_modules/y.json"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("text")
        assert sorted(read_project(tmp_path)) == ["agents.yaml", "config/tasks.yml"]

    def test_one_file_is_a_project(self, tmp_path: Path) -> None:
        (tmp_path / "workflow.json").write_text("\ufeff{}", "utf-8")
        assert read_project(tmp_path / "workflow.json") == {"workflow.json": "{}"}

    def test_nothing_to_import_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(CommandError, match="holds no"):
            read_project(tmp_path)

    def test_what_is_no_text_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "agents.yaml").write_bytes(b"\xff\xfe\xff")
        with pytest.raises(CommandError, match="is not text"):
            read_project(tmp_path)


class TestCredentials:
    @pytest.fixture
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
        for name in ("QUARTERDECK_URL", "QUARTERDECK_API_KEY"):
            monkeypatch.delenv(name, raising=False)
        return Home(tmp_path)

    def test_nobody_is_signed_in_at_first(self, home: Home) -> None:
        assert find_url(home) == "http://127.0.0.1:8700"
        with pytest.raises(CommandError, match="not signed in"):
            find_credentials(home, find_url(home))

    def test_a_login_is_for_its_own_address_only(self, home: Home) -> None:
        write_json(home.login_file, {"url": "https://one.example", "email": "a@b.example", "api_key": "qd_1"})
        assert stat.S_IMODE(home.login_file.stat().st_mode) == 0o600
        assert find_url(home) == "https://one.example"
        assert find_credentials(home, "https://one.example") == ApiKey("qd_1")
        with pytest.raises(CommandError, match="not signed in"):
            find_credentials(home, "https://two.example")

    def test_the_environment_comes_first(self, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
        write_json(home.login_file, {"url": "https://one.example", "email": "a@b.example", "api_key": "qd_1"})
        monkeypatch.setenv("QUARTERDECK_URL", "https://two.example")
        monkeypatch.setenv("QUARTERDECK_API_KEY", "qd_2")
        assert find_credentials(home, find_url(home)) == ApiKey("qd_2")


def test_events_are_parsed_as_the_standard_says() -> None:
    lines = [": comment", "", "id: 1", "event: log", 'data: {"a":', 'data: "b"}', "", 'data:{"c": 1}', "", "data: cut"]
    assert list(parse_events(lines)) == [("1", {"a": "b"}), ("1", {"c": 1})]


def test_the_applications_role_has_its_own_password() -> None:
    url = application_url("postgresql+asyncpg://owner:p%40ss@db.example:5433/quarterdeck?ssl=require", "a/b")
    assert url == "postgresql+asyncpg://quarterdeck_app:a%2Fb@db.example:5433/quarterdeck?ssl=require"


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (
            "postgres: error while loading shared libraries: libicu.so.70: cannot open",
            "the shared library libicu.so.70",
        ),
        ("FATAL:  could not write lock file: No space left on device", "no space left"),
        ("bind: Address already in use", "found its port taken"),
        ("something nobody has seen before", "Its last words: something nobody has seen before"),
    ],
)
def test_a_log_becomes_a_sentence(said: str, problem: str) -> None:
    error = explain("Postgres", 1, f"starting\n{said}\n", Path("/logs/postgres.log"))
    assert problem in error.problem
    assert "/logs/postgres.log" in error.advice


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["run", "--help"], ["import", "--help"]])
def test_help_is_there(arguments: list[str]) -> None:
    done = quarterdeck(*arguments)
    assert done.returncode == 0
    assert "Usage: quarterdeck" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["import", "/nowhere"], 2, "does not exist"),
        (["run"], 2, "Missing argument"),
        (["up", "--port", "99999"], 2, "less than or equal to 65535"),
        (["executions"], 3, "not signed in"),
    ],
)
def test_wrong_calls_are_answered_in_two_lines(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = quarterdeck(*arguments, QUARTERDECK_HOME=str(tmp_path))
    assert done.returncode == code
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr


def quarterdeck(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli", *arguments],
        cwd=PROJECT_ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_demos_workflow_is_a_file_that_can_be_imported() -> None:
    content = json.loads((PROJECT_ROOT / "examples" / "demo-workflow.json").read_text())
    assert content["format"] == "quarterdeck.workflow/1"
    assert {agent["name"] for agent in content["agents"].values()} == {"Researcher", "Writer", "Reviewer"}
