"""Imports crewAI so that it neither reads nor leaves anything on this machine. Must run before any other import of it.

Merely importing crewAI loads the nearest `.env` into the environment, makes a key file and a settings directory
under HOME, and, unless told otherwise, prepares telemetry that takes SIGTERM and SIGINT from the worker.
"""

import os
import tempfile
import warnings
from collections.abc import Generator
from contextlib import contextmanager

# `OTEL_SDK_DISABLED` is not among them: it would silence our own spans too.
_SWITCHED_OFF = {"CREWAI_DISABLE_TELEMETRY": "true", "CREWAI_TRACING_ENABLED": "false"}


def _at_import(directory: str) -> dict[str, str]:
    homes = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME")
    return {"PYTHON_DOTENV_DISABLED": "true", **dict.fromkeys(homes, directory)}


@contextmanager
def _environment(values: dict[str, str]) -> Generator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


os.environ.update(_SWITCHED_OFF)
# The directory goes with the import, and the setting stays: crewAI keeps nothing later on, in no one's home.
with (
    tempfile.TemporaryDirectory(prefix="quarterdeck-crewai-") as _directory,
    _environment(_at_import(_directory)),
    warnings.catch_warnings(),
):
    os.environ["CREWAI_STORAGE_DIR"] = os.path.join(_directory, "storage")
    warnings.simplefilter("ignore")  # of its own making and not ours to mend
    import crewai as crewai
