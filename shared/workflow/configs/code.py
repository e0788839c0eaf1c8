"""Nodes that run the author's own Python."""

from pydantic import Field

from shared.workflow.configs.base import About, ItemName, NodeConfig
from shared.workflow.states import CallKind
from shared.workflow.texts import Cel, PythonText


class CodeConfig(NodeConfig):
    """Runs Python that defines `main(inputs)`, apart from everything: no network, no files of ours, no packages but
    the standard library, one process. The output is what `main` returned, as JSON."""

    about = About("Code", calls=(CallKind.CODE,))

    source: PythonText
    inputs: dict[ItemName, Cel] = Field(default_factory=dict[str, str], max_length=100)
    timeout_ms: int = Field(default=10_000, ge=100, le=300_000)
    memory_mb: int = Field(default=256, ge=64, le=1024)
