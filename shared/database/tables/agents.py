"""Tables of the agents service."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared.database.base import Base, Identified, TenantOwned, Timestamped


class Agent(Identified, TenantOwned, Timestamped, Base):
    __tablename__ = "agents"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        # References carry the tenant, so that a row can never point into another one.
        ForeignKeyConstraint(["tenant_id", "model_id"], ["models.tenant_id", "models.id"]),
    )

    name: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text, default="", server_default="")
    role: Mapped[str] = mapped_column(Text)
    goal: Mapped[str] = mapped_column(Text)
    backstory: Mapped[str] = mapped_column(Text, default="", server_default="")
    system_prompt: Mapped[str | None] = mapped_column(Text)
    model_id: Mapped[UUID] = mapped_column(index=True)
    tools: Mapped[list[str]] = mapped_column(ARRAY(Text))
    # Those of its tools that this agent may use only when a person has agreed.
    approve_tools: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default="{}")
    temperature: Mapped[float | None]
    max_tokens: Mapped[int | None]
    max_iterations: Mapped[int]
    allow_delegation: Mapped[bool]
    suggested_prompts: Mapped[list[Any]]
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    created_by: Mapped[UUID | None]


class AgentKnowledgeBase(TenantOwned, Base):
    __tablename__ = "agent_knowledge_bases"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "agent_id"], ["agents.tenant_id", "agents.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(
            ["tenant_id", "knowledge_base_id"],
            ["knowledge_bases.tenant_id", "knowledge_bases.id"],
            ondelete="CASCADE",
        ),
    )

    agent_id: Mapped[UUID] = mapped_column(primary_key=True)
    knowledge_base_id: Mapped[UUID] = mapped_column(primary_key=True, index=True)
