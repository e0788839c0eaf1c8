"""The engine's tools: those that come with the product, and those that a tenant has defined.

A tool that cannot do what an agent asked says so in words, for the model to read: that is an answer, and the journal
records it as one. `CallFailed` is for what may be different the next time, and for nodes, which read no words.
"""

from pydantic import ValidationError

from services.orchestration.adapters.http import call_failed
from services.orchestration.engine.codec import passages
from services.orchestration.engine.passages import numbered
from services.orchestration.engine.ports import (
    CallFailed,
    Effect,
    Knowledge,
    KnowledgeRequest,
    ToolContext,
    ToolReply,
    ToolSpec,
)
from shared.kit.json import JsonObject, dumps
from shared.tools.catalogue import CATALOGUE, DEFAULT_PASSAGES, BuiltinTool
from shared.tools.definitions import ToolDefinition
from shared.tools.errors import ToolInputError, ToolRefused
from shared.tools.http import use_tool
from shared.tools.outbound import Outbound, OutboundFailed


class ProductTools:
    """Implements the engine's `Tools`."""

    def __init__(self, knowledge: Knowledge, outbound: Outbound) -> None:
        self._knowledge = knowledge
        self._outbound = outbound

    def describe(self, name: str) -> ToolSpec:
        tool = _find(name)
        return ToolSpec(
            name=tool.name, description=tool.description, parameters=tool.parameters, effect=Effect(tool.effect)
        )

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> ToolReply:
        try:
            if context.definition is not None:
                return await self._use(name, context.definition, arguments, context)
            return await self._use_builtin(_find(name), arguments, context)
        except ToolRefused as error:
            if context.agent_id is None:
                raise CallFailed(str(error), code="tool_refused", source=name, retryable=False) from error
            return ToolReply(f"Error: {error}")

    async def _use(self, name: str, stored: JsonObject, arguments: JsonObject, context: ToolContext) -> ToolReply:
        try:
            tool = ToolDefinition.model_validate(stored)
            result = await use_tool(self._outbound, context.tenant_id, tool, arguments, context.idempotency_key)
        except ValidationError as error:
            message = f"The tool {name!r} was defined in a way that this worker does not know"
            raise CallFailed(message, code="tool_unknown", source=name, retryable=False) from error
        except OutboundFailed as error:
            raise call_failed(error, source=name) from error
        return ToolReply(result.text)

    async def _use_builtin(self, tool: BuiltinTool, arguments: JsonObject, context: ToolContext) -> ToolReply:
        tool.check(arguments)
        return ToolReply(tool.run(**arguments)) if tool.run else await self._search(arguments, context)

    async def _search(self, arguments: JsonObject, context: ToolContext) -> ToolReply:
        """For an agent the passages as JSON, which its runtime numbers; for a node as they are read."""
        if not context.knowledge_base_ids:
            raise ToolInputError("you have no knowledge base to search")
        request = KnowledgeRequest(
            knowledge_base_ids=tuple(context.knowledge_base_ids),
            query=arguments["query"],
            top_k=arguments.get("top_k", DEFAULT_PASSAGES),
            agent_id=context.agent_id,
        )
        found = await self._knowledge.search(context.tenant_id, request)
        asked_by_agent = context.agent_id is not None
        text = dumps({"passages": passages(found.passages)}) if asked_by_agent else numbered(found.passages)
        return ToolReply(text, found.usage)


def _find(name: str) -> BuiltinTool:
    tool = CATALOGUE.get(name)
    if tool is None:
        raise CallFailed(f"There is no tool named {name!r}", code="tool_unknown", source=name, retryable=False)
    return tool
