"""What a snapshot holds of a graph's surroundings: agents, models and tools as they are now. No secret is in here."""

from typing import Any

from shared.database.tables.agents import Agent
from shared.database.tables.knowledge import KnowledgeBase
from shared.executions.pool import Pool
from shared.kit.json import JsonObject
from shared.tools.records import definition_of
from shared.workflow.agent_texts import TEXTS, templates_of

_ABOUT_LENGTH = 800


def parts_of(pool: Pool) -> JsonObject:
    """The agents' texts are not yet rendered: see `render_agents`."""
    return {
        "agents": {str(agent.id): _agent(agent, pool) for agent in pool.agents.values()},
        "models": {str(model.id): {"name": model.name, "provider": model.provider} for model in pool.models.values()},
        "tools": {tool.name: definition_of(tool) for tool in pool.tools.values()},
    }


def _agent(agent: Agent, pool: Pool) -> dict[str, Any]:
    texts: JsonObject = {text: getattr(agent, text) for text in TEXTS}
    return {
        "id": str(agent.id),
        "name": agent.name,
        **texts,
        "templates": templates_of(texts),
        "system_prompt": agent.system_prompt,
        "model_id": str(agent.model_id),
        "tools": list(agent.tools),
        "approve_tools": list(agent.approve_tools),
        "knowledge_base_ids": [str(i) for i in pool.agent_knowledge_bases.get(agent.id, ())],
        "knowledge": [
            _about(pool.knowledge_bases[i])
            for i in pool.agent_knowledge_bases.get(agent.id, ())
            if i in pool.knowledge_bases
        ],
        "max_iterations": agent.max_iterations,
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "allow_delegation": agent.allow_delegation,
    }


def _about(base: KnowledgeBase) -> str:
    """In its owner's words, and in those of its summary, as far as a tool's description bears them."""
    said = " ".join(filter(None, (base.description.strip(), base.summary.strip())))
    text = " ".join(f"{base.name}: {said}".split()) if said else base.name
    return text if len(text) <= _ABOUT_LENGTH else f"{text[:_ABOUT_LENGTH].rsplit(' ', 1)[0]} ..."
