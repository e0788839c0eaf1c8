"""Where the command writes: results to standard output, all else to standard error."""

import re
import sys

from rich.console import Console
from rich.markup import escape

# What is piped into a file or a program is not wrapped at a terminal's width that nobody knows.
out = Console(width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True)

# All but tab and line feed: a model or a document must not be able to steer the person's terminal.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def plain(text: str) -> str:
    """Without control characters."""
    return _CONTROLS.sub("", text)


def safe(text: str) -> str:
    """Somebody else's text as part of our markup: it is shown as it is and does nothing."""
    return escape(plain(text))
