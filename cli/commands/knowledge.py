"""`knowledge check` and `knowledge rebuild`: whether what is searched is what is kept, and making it so."""

import json
import sys
from typing import Annotated, Any

import typer

from cli.api import Api
from cli.commands.connection import connect
from cli.commands.runs import AsJson, is_id, print_outcome
from cli.console import err, out
from cli.errors import CommandError
from cli.executions import view_on, watch

Base = Annotated[str, typer.Argument(metavar="BASE", help="The knowledge base's name or id.")]

_commands = typer.Typer(no_args_is_help=True, help="Check and rebuild knowledge bases.")


def register(app: typer.Typer) -> None:
    app.add_typer(_commands, name="knowledge")


@_commands.command()
def check(
    base: Base,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what differs, out of the database.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare what is kept of the documents with what is searched. Exits with 0 only if nothing differs any more."""
    with connect() as api:
        found = find_base(api, base)
        output = _follow(api, api.post(f"/knowledge-bases/{found['id']}/check", {"repair": repair}), as_json)
    sound = output is not None and (output["consistent"] or output["repaired"] == output["found"])
    raise typer.Exit(0 if sound else 1)


@_commands.command()
def rebuild(base: Base, as_json: AsJson = False) -> None:
    """Fill a new collection of vectors from the database; search changes over to it when it is whole."""
    with connect() as api:
        found = find_base(api, base)
        output = _follow(api, api.post(f"/knowledge-bases/{found['id']}/rebuild"), as_json)
    raise typer.Exit(0 if output is not None else 1)


def _follow(api: Api, started: dict[str, Any], as_json: bool) -> dict[str, Any] | None:
    """The execution's output when it has succeeded."""
    ended = watch(api, started["execution_id"], None if as_json else view_on(api, err))
    if as_json:
        sys.stdout.write(json.dumps(ended.as_json()) + "\n")
    else:
        out.print(f"[dim]execution {ended.execution_id}[/]", highlight=False)
        print_outcome(ended)
    return ended.output if ended.status == "succeeded" else None


def find_base(api: Api, name_or_id: str) -> dict[str, Any]:
    if is_id(name_or_id):
        return api.get(f"/knowledge-bases/{name_or_id}")
    for found in api.items("/knowledge-bases", limit=1000, q=name_or_id):
        if found["name"].lower() == name_or_id.lower():
            return found
    raise CommandError(f"There is no knowledge base named {name_or_id!r}.", "The names are in the UI under Knowledge.")
