"""`up`, `down` and `status`: the stack on this machine."""

import json
import os
import signal
import time
from dataclasses import asdict
from typing import Annotated, Literal

import psutil
import typer
from rich.table import Table

from cli import demo
from cli.console import err, out, safe
from cli.errors import CommandError, ExitCode
from cli.hosting import host
from cli.stack.layout import Home
from cli.stack.plan import Options, Plan
from cli.stack.state import ComponentState, StackState, running_stack
from cli.stack.timeline import Timeline

LocalModel = Literal["qwen", "smollm", "none"]

Port = Annotated[int, typer.Option(min=1, max=65535, help="Where the API listens, on this machine only.")]
Split = Annotated[bool, typer.Option("--split", help="Each service in a process of its own, behind the gateway.")]
Model = Annotated[
    LocalModel,
    typer.Option(envvar="QUARTERDECK_LOCAL_MODEL", help="qwen: 1.5B, 1.1 GB · smollm: 135M, 0.1 GB · none."),
]

_LONGEST_STOP = 60.0


def register(app: typer.Typer) -> None:
    app.command()(up)
    app.command()(down)
    app.command()(status)


def up(
    port: Port = 8700,
    split: Split = False,
    model: Model = "qwen",
    no_demo: Annotated[bool, typer.Option("--no-demo", help="Do not run the demo on the first start.")] = False,
) -> None:
    """Start everything on this machine and serve until Ctrl-C.

    Postgres, Valkey, Chroma, the language model, the API and a worker. The first start fetches the model's weights,
    makes a demo account and runs the demo workflow.
    """
    home = Home.from_environment()
    timeline = Timeline(out)

    def first_steps(plan: Plan) -> int:
        account = demo.ensure_account(home, plan.url)
        _welcome(plan, account)
        if not no_demo and not demo.has_run(home):
            _run_demo_once(home, plan)
        return int(ExitCode.SUCCEEDED)

    options = Options(port=port, split=split, local_model=model)
    raise typer.Exit(host(options, timeline, work=first_steps, stay=True))


def _run_demo_once(home: Home, plan: Plan) -> None:
    """A demo that fails is told of and does not keep the stack from serving."""
    if plan.model is None and "LLM_BASE_URL" not in plan.brought:
        out.print("There is no local model, so the demo is not run.")
        return
    try:
        demo.run(home, plan.url, out)
    except CommandError as error:
        err.print(
            f"[bold red]The demo failed:[/] {safe(error.problem)} {safe(error.advice)}", highlight=False, soft_wrap=True
        )
    out.print(f"\nServing on [bold]{plan.url}[/] until Ctrl-C.", highlight=False)


def _welcome(plan: Plan, account: demo.Account) -> None:
    out.print(f"\n  Quarterdeck is up: [bold]{plan.url}[/]", highlight=False)
    out.print(f"  API: {plan.url}/api/v1/docs", highlight=False)
    out.print(f"  Sign in as [bold]{account.email}[/] with [bold]{account.password}[/]", highlight=False)
    out.print(f"  Logs: {plan.home.logs}   Stop with Ctrl-C\n", highlight=False, soft_wrap=True)


def down() -> None:
    """Stop the stack that runs on this data directory."""
    home = Home.from_environment()
    holder = home.holder()
    if holder is None:
        out.print("Nothing is running.")
        return
    os.kill(holder, signal.SIGTERM)
    deadline = time.monotonic() + _LONGEST_STOP
    while home.holder() is not None:
        if time.monotonic() > deadline:
            raise CommandError(
                f"Process {holder} has not stopped within {_LONGEST_STOP:.0f} s.",
                f"`kill -9 {holder}` ends it and everything it started; nothing acknowledged is lost.",
            )
        time.sleep(0.1)
    out.print("Stopped.")


def status(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Show what runs here, where, since when and in how much memory.

    Exits with 3 if nothing runs.
    """
    state = running_stack(Home.from_environment())
    if as_json:
        out.print_json(json.dumps(_describe(state)))
    elif state is None:
        out.print("Nothing is running. Start it with `quarterdeck up`.")
    else:
        _show(state)
    if state is None:
        raise typer.Exit(int(ExitCode.UNREACHABLE))


def _describe(state: StackState | None) -> dict[str, object]:
    if state is None:
        return {"running": False}
    components = [{**asdict(part), "memory_bytes": _memory(part)} for part in state.components]
    return {"running": True, "url": state.url, "ready": state.ready, "pid": state.pid, "components": components}


def _show(state: StackState) -> None:
    table = Table(box=None, header_style="dim")
    for column in ("part", "state", "pid", "port", "up for", "memory", "restarts"):
        table.add_column(column, justify="left" if column in ("part", "state") else "right")
    supervisor = ComponentState("supervisor", state.pid, None, psutil.Process(state.pid).create_time(), 0, "")
    total = 0
    for part in (*state.components, supervisor):
        memory = _memory(part, alone=part is supervisor)
        total += memory
        table.add_row(
            part.name,
            "[green]running[/]" if part.pid else "[yellow]starting[/]",
            str(part.pid or ""),
            str(part.port or ""),
            _duration(time.time() - part.started_at) if part.started_at else "",
            f"{memory >> 20} MB",
            str(part.restarts or ""),
        )
    table.add_row("all", "", "", "", "", f"{total >> 20} MB", "", style="bold")
    out.print(f"[bold]{state.url}[/]{'' if state.ready else ' (starting)'}", highlight=False)
    out.print(table)


def _memory(part: ComponentState, *, alone: bool = False) -> int:
    """Of the process and those it started. What several share is counted once, where the system tells (PSS)."""
    if part.pid is None:
        return 0
    try:
        process = psutil.Process(part.pid)
        family = [process] if alone else [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(_own_memory(member) for member in family)


def _own_memory(process: psutil.Process) -> int:
    try:
        return getattr(process.memory_full_info(), "pss", 0) or process.memory_info().rss
    except psutil.AccessDenied:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
