"""The `quarterdeck` command."""

import os
import sys

import typer

from cli.commands import demo, knowledge, login, project, runs, stack
from cli.console import err, safe
from cli.errors import CommandError, ExitCode
from cli.stack.errors import StackError

_EPILOG = """
Exit codes: 0 done, 1 tried and failed, 2 called wrongly, 3 Quarterdeck does not answer or does not let you in, 130 interrupted.

Environment: QUARTERDECK_URL and QUARTERDECK_API_KEY say where and who; QUARTERDECK_HOME is the data directory (default .quarterdeck), QUARTERDECK_CACHE holds model weights; QUARTERDECK_LOCAL_MODEL is qwen, smollm or none; DATABASE_URL, BROKER_URL, CHROMA_URL and LLM_BASE_URL take servers of your own in place of the embedded ones.
"""  # noqa: E501 - the terminal wraps it

app = typer.Typer(
    name="quarterdeck",
    help="Design, run and watch crews of AI agents, on your own machines.",
    epilog=_EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
stack.register(app)
demo.register(app)
project.register(app)
runs.register(app)
knowledge.register(app)
login.register(app)


def main() -> None:
    """Runs the command and exits with its code; a failure a person can act on is two lines, never a traceback."""
    try:
        app(prog_name="quarterdeck")
    except (CommandError, StackError) as error:
        err.print(f"[bold red]error:[/] {safe(error.problem)}", highlight=False, soft_wrap=True)
        if error.advice:
            err.print(safe(error.advice), highlight=False, soft_wrap=True)
        code = error.code if isinstance(error, CommandError) else ExitCode.FAILED
        raise SystemExit(int(code)) from None
    except KeyboardInterrupt:
        raise SystemExit(int(ExitCode.INTERRUPTED)) from None
    except BrokenPipeError:
        # Whoever read our output has had enough. Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(int(ExitCode.SUCCEEDED)) from None


if __name__ == "__main__":
    main()
