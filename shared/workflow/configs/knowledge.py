"""Nodes that read what is known."""

from typing import Literal
from uuid import UUID

from pydantic import Field

from shared.workflow.configs.base import About, ItemName, NodeConfig
from shared.workflow.states import CallKind
from shared.workflow.texts import KnowledgeBaseId, RankingModelId, TemplateText


class KnowledgeSearchConfig(NodeConfig):
    """Finds passages. Output: `{"passages": [...], "text"}`, the text being the passages joined.

    `mode` looks for the meaning (`vector`), for the words (`keyword`) or for both (`hybrid`). Of documents with tags,
    those that have one of `tags` are searched. Passages below `min_score`, 0 to 1, are left out.
    """

    about = About("Knowledge search", calls=(CallKind.KNOWLEDGE,))

    knowledge_base_ids: tuple[KnowledgeBaseId, ...] = Field(min_length=1, max_length=20)
    query: TemplateText = Field(min_length=1)
    top_k: int = Field(default=5, ge=1, le=100)
    mode: Literal["vector", "keyword", "hybrid"] = "hybrid"
    tags: tuple[ItemName, ...] = Field(default=(), max_length=30)
    document_ids: tuple[UUID, ...] = Field(default=(), max_length=100)
    min_score: float = Field(default=0.0, ge=0, le=1)
    rerank_model_id: RankingModelId | None = None
