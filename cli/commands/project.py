"""`import`: a crewAI project, or a workflow's own file, becomes a workflow with its agents."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.api import Api
from cli.commands.connection import connect
from cli.console import out, safe
from cli.errors import CommandError, ExitCode

_ENDINGS = (".yaml", ".yml", ".json", ".jsonc")
_PASSED_OVER = ("node_modules", "__pycache__", "site-packages", "venv")


def register(app: typer.Typer) -> None:
    app.command(name="import")(import_project)


def import_project(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", exists=True, help="A project, or one exported file.")],
    name: Annotated[str | None, typer.Option(help="What to call the workflow.")] = None,
    bind: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK=AGENT", help="Who does a task, where only the project's Python says it."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Name of the model for agents whose own is not known.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The whole answer of the API.")] = False,
) -> None:
    """Import a crewAI project.

    Takes agents.yaml and tasks.yaml, or crew.jsonc with agents/*.jsonc, or a workflow exported from Quarterdeck.
    Only these texts are read: none of the project's Python is run or sent. What was taken over, left out or not found
    is told.
    """
    body: dict[str, Any] = {"files": read_project(folder), "bindings": _bindings(bind or [])}
    if name:
        body["name"] = name
    with connect() as api:
        if model:
            body["model_id"] = _find_model(api, model)
        answer = api.post("/workflows/import", body)
    if as_json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        _show(answer)


def read_project(folder: Path) -> dict[str, str]:
    """The project's texts by their names within it. Raises CommandError when there are none."""
    paths = [folder] if folder.is_file() else sorted(_texts_in(folder))
    files: dict[str, str] = {}
    for path in paths:
        try:
            files[path.name if path == folder else path.relative_to(folder).as_posix()] = path.read_text("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CommandError(f"{path} is not text in UTF-8.", code=ExitCode.USAGE) from error
    if not files:
        raise CommandError(
            f"{folder} holds no {', '.join(_ENDINGS)} file.",
            "A crewAI project has agents.yaml and tasks.yaml, or a crew.jsonc.",
            code=ExitCode.USAGE,
        )
    return files


def _texts_in(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith(".") or part in _PASSED_OVER for part in parts)
        if not hidden and path.suffix.lower() in _ENDINGS and path.is_file():
            yield path


def _bindings(pairs: Iterable[str]) -> dict[str, str]:
    bindings: dict[str, str] = {}
    for pair in pairs:
        task, separator, agent = pair.partition("=")
        if not (task and separator and agent):
            raise CommandError(f"--bind {pair!r} is not of the form task=agent.", code=ExitCode.USAGE)
        bindings[task] = agent
    return bindings


def _find_model(api: Api, name: str) -> str:
    models = list(api.items("/models", limit=1000))
    for model in models:
        if name in (model["name"], model["id"]):
            return model["id"]
    known = ", ".join(model["name"] for model in models)
    raise CommandError(f"There is no model named {name!r}.", f"There are: {known}.")


def _show(answer: dict[str, Any]) -> None:
    workflow, report = answer["workflow"], answer["report"]
    out.print(f"[green]✓[/] [bold]{safe(workflow['name'])}[/] [dim]{workflow['id']}[/]", highlight=False)
    for agent in answer["agents"]:
        out.print(f"    agent [bold]{safe(agent['name'])}[/] [dim]{agent['id']}[/]", highlight=False)
    out.print(f"    {len(report['mapped'])} settings taken over", highlight=False)
    _show_items("left out", report["ignored"], "dim")
    _show_items("not found", report["missing"], "yellow")
    if workflow["valid"]:
        schema: dict[str, Any] = workflow["graph"].get("inputs") or {}
        required: list[str] = schema.get("required") or []
        inputs = "".join(f" --input {name}=..." for name in required)
        out.print(
            f"Run it: quarterdeck run {safe(json.dumps(workflow['name']) + inputs)}", highlight=False, soft_wrap=True
        )
        return
    out.print("[yellow]It cannot run yet:[/]")
    for problem in workflow["problems"]:
        where = ": ".join(filter(None, (problem["node"], problem["field"])))
        out.print(f"    {safe(where)}: {safe(problem['message'])}", highlight=False, soft_wrap=True)


def _show_items(title: str, items: list[dict[str, Any]], style: str) -> None:
    if items:
        out.print(f"    {len(items)} {title}:")
    for item in items:
        out.print(f"      [{style}]{safe(item['where'])}: {safe(item['message'])}[/]", highlight=False, soft_wrap=True)
