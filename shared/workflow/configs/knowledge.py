"""Nodes that read what is known."""

from typing import Literal

from pydantic import Field

from shared.workflow.configs.base import About, NodeConfig
from shared.workflow.states import CallKind
from shared.workflow.texts import KnowledgeBaseId, TemplateText


class KnowledgeSearchConfig(NodeConfig):
    """Finds passages. Output: `{"passages": [...], "text"}`, the text being the passages joined."""

    about = About("Knowledge search", calls=(CallKind.KNOWLEDGE,))

    knowledge_base_ids: tuple[KnowledgeBaseId, ...] = Field(min_length=1, max_length=20)
    query: TemplateText = Field(min_length=1)
    top_k: int = Field(default=5, ge=1, le=100)
    mode: Literal["vector"] = "vector"
