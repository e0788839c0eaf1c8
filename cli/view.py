"""A running execution as text: steps as they begin and end, and what agents say while they say it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from cli.console import plain, safe

_MARKS = {"succeeded": "[green]✓[/]", "failed": "[red]✗[/]", "cancelled": "[yellow]■[/]", "skipped": "[dim]-[/]"}
_INDENT = "    "
_SHORT = 160


@dataclass
class ExecutionView:
    """Prints events as they come. Works the same on a terminal and in a log file."""

    console: Console
    agent_name: Callable[[str], str] = str
    """The name of an agent by its id."""
    _speaker: tuple[str, str] | None = None
    _mid_line: bool = False
    _names: dict[str, str] = field(default_factory=dict[str, str])

    def show(self, event: dict[str, Any]) -> None:
        handler = {
            "execution.status": self._status,
            "step.started": self._step_started,
            "step.finished": self._step_finished,
            "step.skipped": self._step_skipped,
            "message.delta": self._text,
            "tool.call": self._tool_call,
            "tool.result": self._tool_result,
            "log": self._log,
        }.get(event["type"])
        if handler is not None:
            handler(event, event["data"])

    def _status(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        if data["status"] in ("queued", "waiting", "paused"):
            self._line(f"[dim]{data['status']}[/]")

    def _step_started(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        node = event["step"]["node"]
        self._names[node] = data["name"]
        again = f", attempt {event['step']['attempt']}" if event["step"]["attempt"] > 1 else ""
        self._line(f"[bold cyan]▸[/] [bold]{safe(data['name'])}[/] [dim]{data['type']}{again}[/]")

    def _step_finished(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        mark = _MARKS.get(data["status"], "·")
        seconds = (data.get("duration_ms") or 0) / 1000
        self._line(f"{mark} {safe(self._name(event))} [dim]{seconds:.1f} s[/]")
        if data.get("error"):
            self._line(f"{_INDENT}[red]{safe(describe_error(data['error']))}[/]")

    def _step_skipped(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        self._line(f"{_MARKS['skipped']} [dim]{safe(self._name(event))} skipped[/]")

    def _text(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        speaker = (event["step"]["node"], str(data.get("call")))
        if speaker != self._speaker:
            who = self.agent_name(data["agent"]) if data.get("agent") else self._name(event)
            self._line(f"{_INDENT}[magenta]{safe(who)}[/]")
            self._speaker = speaker
        text = plain(data["text"])
        if not self._mid_line:
            text = _INDENT + text
        self.console.out(text.replace("\n", f"\n{_INDENT}"), end="", highlight=False)
        self._mid_line = True

    def _tool_call(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        arguments = ", ".join(f"{name}={_short(value, 60)}" for name, value in data["arguments"].items())
        self._line(f"{_INDENT}[blue]→ {safe(data['name'])}({safe(arguments)})[/]")

    def _tool_result(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        if data.get("error"):
            self._line(f"{_INDENT}[red]← {safe(describe_error(data['error']))}[/]")
        else:
            self._line(f"{_INDENT}[dim]← {safe(_short(data.get('result')))}[/]")

    def _log(self, event: dict[str, Any], data: dict[str, Any]) -> None:
        if data["level"] in ("warning", "error"):
            self._line(f"{_INDENT}[yellow]{safe(data['message'])}[/]")

    def _name(self, event: dict[str, Any]) -> str:
        node = str(event["step"]["node"])
        return self._names.get(node, node)

    def _line(self, markup: str) -> None:
        if self._mid_line:
            self.console.out("")
        self._mid_line, self._speaker = False, None
        self.console.print(markup, highlight=False, soft_wrap=True)


def describe_error(error: Any) -> str:
    """The message of an error as executions and steps carry it, with what it names besides."""
    if not isinstance(error, dict):
        return str(error)
    named: dict[str, Any] = error  # pyright: ignore[reportUnknownVariableType]
    message, code = str(named.get("message") or ""), str(named.get("code") or "")
    return f"{message} ({code})" if message and code else message or code or str(named)


def _short(value: Any, limit: int = _SHORT) -> str:
    text = " ".join((value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
