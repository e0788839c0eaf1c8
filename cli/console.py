"""Where the command writes: results to standard output, all else to standard error."""

from rich.console import Console

out = Console()
err = Console(stderr=True)
