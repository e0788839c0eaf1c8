"""`demo`: the whole product on one question, from documents to a reviewed answer."""

import json
import sys

import typer

from cli import demo as demonstration
from cli.commands.stack import Model, Port, Split
from cli.console import err
from cli.executions import Outcome
from cli.hosting import host
from cli.stack.layout import Home
from cli.stack.plan import Options, Plan
from cli.stack.state import running_stack
from cli.stack.timeline import Timeline


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(port: Port = 8700, split: Split = False, model: Model = "qwen") -> None:
    """Run the demo: three agents answer a question from a handbook.

    Uses the stack that runs here; if none does, starts one for as long as the demo takes. The last line on standard
    output is a JSON object: execution_id, status, output, steps, tokens, duration_ms. Exits with 0 only on success.
    """
    home = Home.from_environment()
    running = running_stack(home)
    ended: list[Outcome] = []

    def work(url: str) -> int:
        ended.append(demonstration.run(home, url, err))
        return int(ended[0].exit_code)

    if running is not None and running.ready:
        code = work(running.url)
    else:
        options = Options(port=port, split=split, local_model=model)

        def hosted(plan: Plan) -> int:
            return work(plan.url)

        code = host(options, Timeline(err), work=hosted, stay=False)
    if ended:
        sys.stdout.write(json.dumps(ended[0].as_json()) + "\n")
    raise typer.Exit(code)
