import functools
import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from shared.kit.json import dumps

_SECRET_NAMES = re.compile(r"(password|secret|token|api_?key|authorization|cookie|credential)", re.IGNORECASE)


@functools.lru_cache(1000)
def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAMES.search(name)) and not name.endswith("tokens")


def _redact(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for name in event:
        if _is_secret(name):
            event[name] = "[redacted]"
    return event


def _dumps(event: Any, **_: Any) -> str:
    try:
        return dumps(event)
    except TypeError:  # a lone surrogate: orjson will not have it, and a log line must never raise
        return json.dumps(event, default=str)


def configure_logging(level: str = "INFO", fmt: str = "json") -> None:
    """One structured stream on stderr for our own lines and those of the libraries."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(_dumps)
        if fmt == "json"
        # Plain: what a pretty traceback shows of local variables are secrets too.
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "uvicorn.access", "celery.worker.strategy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    return structlog.get_logger(module=name)
