"""`run`, `executions`, `logs` and `cancel`: executions through the public API."""

import json
import sys
from datetime import datetime
from difflib import get_close_matches
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.table import Table

from cli.api import Api
from cli.commands.connection import connect
from cli.console import err, out, safe
from cli.errors import CommandError, ExitCode
from cli.executions import Outcome, outcome, start, view_on, watch
from cli.inputs import parse_inputs
from cli.view import describe_error

ExecutionId = Annotated[str, typer.Argument(metavar="ID", help="The execution's id, or enough of its end.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")]


def register(app: typer.Typer) -> None:
    app.command()(run)
    app.command()(executions)
    app.command()(logs)
    app.command()(cancel)


def run(
    workflow: Annotated[str, typer.Argument(help="The workflow's name or id.")],
    input_: Annotated[
        list[str] | None, typer.Option("--input", "-i", metavar="NAME=VALUE", help="One input. May be repeated.")
    ] = None,
    as_json: AsJson = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Print the execution's id and do not wait.")] = False,
) -> None:
    """Run a workflow and watch it live.

    Shows the steps as they go and what the agents say. Exits with 0 only if it succeeded. Ctrl-C asks whether to
    cancel the execution or to leave it running.
    """
    with connect() as api:
        found = find_workflow(api, workflow)
        inputs = parse_inputs(input_ or [], api.get(f"/workflows/{found['id']}")["graph"].get("inputs") or {})
        execution_id = start(api, found["id"], inputs)
        if detach:
            _print_started(execution_id, as_json)
            return
        ended = _watch(api, execution_id, as_json)
    raise typer.Exit(int(ended.exit_code))


def _print_started(execution_id: str, as_json: bool) -> None:
    sys.stdout.write((json.dumps({"execution_id": execution_id}) if as_json else execution_id) + "\n")


def _watch(api: Api, execution_id: str, as_json: bool) -> Outcome:
    console = err if as_json else out
    view = None if as_json else view_on(api, console)
    console.print(f"[dim]execution {execution_id}[/]", highlight=False)
    while True:
        try:
            ended = watch(api, execution_id, view)
            break
        except KeyboardInterrupt:
            _ask_and_leave_or_cancel(api, execution_id)
    if as_json:
        sys.stdout.write(json.dumps(ended.as_json()) + "\n")
    else:
        print_outcome(ended)
    return ended


def _ask_and_leave_or_cancel(api: Api, execution_id: str) -> None:
    """Leaves the command unless the person wants the execution cancelled; then its end is still watched."""
    err.print()
    try:
        cancelling = sys.stdin.isatty() and typer.confirm("Cancel the execution? (no leaves it running)", err=True)
    except typer.Abort:  # Ctrl-C again
        cancelling = False
    if not cancelling:
        err.print(f"It goes on. `quarterdeck logs {execution_id}` shows it, `cancel` ends it.", highlight=False)
        raise typer.Exit(int(ExitCode.INTERRUPTED))
    api.post(f"/executions/{execution_id}/cancel")
    err.print("Cancelling.")


def print_outcome(ended: Outcome) -> None:
    colour = {"succeeded": "green", "failed": "red"}.get(ended.status, "yellow")
    seconds = (ended.duration_ms or 0) / 1000
    tokens = f"{ended.tokens['input']} + {ended.tokens['output']} tokens"
    out.print(f"\n[bold {colour}]{ended.status}[/] [dim]in {seconds:.1f} s, {tokens}[/]", highlight=False)
    if ended.error:
        out.print(f"[red]{safe(describe_error(ended.error))}[/]", highlight=False, soft_wrap=True)
    if ended.output is not None:
        out.print(safe(_readable(ended.output)), highlight=False, soft_wrap=True)


def _readable(output: Any) -> str:
    """Text as it is, several texts under their names, all else as JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, dict):
        named: dict[str, Any] = output  # pyright: ignore[reportUnknownVariableType]
        if named and all(isinstance(value, str) for value in named.values()):
            return "\n\n".join(f"{name}:\n{value}" for name, value in named.items())
    return json.dumps(output, indent=2, ensure_ascii=False)


def executions(
    status: Annotated[str | None, typer.Option(help="Only those that are queued, running, succeeded, ...")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List executions, the newest first."""
    with connect() as api:
        found = list(api.items("/executions", limit=limit, status=status))
    if as_json:
        sys.stdout.write(json.dumps({"items": found}) + "\n")
        return
    table = Table(box=None, header_style="dim")
    for column in ("id", "what", "status", "started", "took", "tokens"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for each in found:
        table.add_row(*_row(each))
    out.print(table if found else "There are no executions.")


def _row(execution: dict[str, Any]) -> tuple[str, ...]:
    created = datetime.fromisoformat(execution["created_at"]).astimezone()
    took = execution["duration_ms"]
    return (
        execution["id"],
        safe(execution["name"]),
        execution["status"],
        f"{created:%m-%d %H:%M}",
        f"{took / 1000:.1f} s" if took is not None else "",
        str(execution["input_tokens"] + execution["output_tokens"]),
    )


def logs(execution_id: ExecutionId, as_json: AsJson = False) -> None:
    """Show what an execution did, and follow it to its end if it still runs.

    Ctrl-C leaves it running.
    """
    with connect() as api:
        execution_id = find_execution(api, execution_id)
        view = view_on(api, out)
        for event in api.events(execution_id):
            if as_json:
                sys.stdout.write(json.dumps(event) + "\n")
            else:
                view.show(event)
        if not as_json:
            print_outcome(outcome(api, execution_id))


def cancel(execution_id: ExecutionId) -> None:
    """Cancel an execution. What it has done so far stays recorded."""
    with connect() as api:
        execution_id = find_execution(api, execution_id)
        api.post(f"/executions/{execution_id}/cancel")
    out.print(f"Cancelling {execution_id}.", highlight=False)


def find_workflow(api: Api, name_or_id: str) -> dict[str, Any]:
    """By id, or by a name that exactly one workflow has. Raises CommandError with names that come close."""
    if is_id(name_or_id):
        return api.get(f"/workflows/{name_or_id}")
    found = list(api.items("/workflows", limit=1000))
    matching = [each for each in found if each["name"].lower() == name_or_id.lower()]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = ", ".join(each["id"] for each in matching)
        raise CommandError(f"{len(matching)} workflows are named {name_or_id!r}.", f"Give an id: {ids}.")
    names = [each["name"] for each in found]
    close = get_close_matches(name_or_id, names, n=3, cutoff=0.4) or names[:5]
    advice = f"There are: {', '.join(close)}." if close else "There are none yet: `quarterdeck import FOLDER`."
    raise CommandError(f"There is no workflow named {name_or_id!r}.", advice)


def find_execution(api: Api, text: str) -> str:
    """A whole id, or the end of one that only one of the last hundred executions has."""
    if is_id(text):
        return text
    matching = [each["id"] for each in api.items("/executions", limit=100) if each["id"].endswith(text.lower())]
    if len(matching) != 1:
        how_many = "No" if not matching else "More than one"
        raise CommandError(
            f"{how_many} execution's id ends with {text!r}.",
            "`quarterdeck executions` lists them.",
            code=ExitCode.USAGE,
        )
    return matching[0]


def is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
