"""The engine's tools: those that come with the product, and those that a tenant has defined.

A tool that cannot do what an agent asked says so in words, for the model to read: that is an answer, and the journal
records it as one. `CallFailed` is for what may be different the next time, and for nodes, which read no words.
"""

from pydantic import ValidationError

from services.orchestration.adapters.http import call_failed
from services.orchestration.engine.ports import CallFailed, Effect, Knowledge, Passage, ToolContext, ToolSpec
from shared.kit.json import JsonObject
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

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> str:
        try:
            if context.definition is not None:
                return await self._use(name, context.definition, arguments, context)
            return await self._use_builtin(_find(name), arguments, context)
        except ToolRefused as error:
            if context.agent_id is None:
                raise CallFailed(str(error), code="tool_refused", source=name, retryable=False) from error
            return f"Error: {error}"

    async def _use(self, name: str, stored: JsonObject, arguments: JsonObject, context: ToolContext) -> str:
        try:
            tool = ToolDefinition.model_validate(stored)
            result = await use_tool(self._outbound, context.tenant_id, tool, arguments, context.idempotency_key)
        except ValidationError as error:
            message = f"The tool {name!r} was defined in a way that this worker does not know"
            raise CallFailed(message, code="tool_unknown", source=name, retryable=False) from error
        except OutboundFailed as error:
            raise call_failed(error, source=name) from error
        return result.text

    async def _use_builtin(self, tool: BuiltinTool, arguments: JsonObject, context: ToolContext) -> str:
        tool.check(arguments)
        return tool.run(**arguments) if tool.run else await self._search(arguments, context)

    async def _search(self, arguments: JsonObject, context: ToolContext) -> str:
        if not context.knowledge_base_ids:
            raise ToolInputError("you have no knowledge base to search")
        passages = await self._knowledge.search(
            context.tenant_id,
            context.knowledge_base_ids,
            arguments["query"],
            arguments.get("top_k", DEFAULT_PASSAGES),
            "vector",
        )
        if not passages:
            return "Nothing was found. Try other words."
        return "\n\n".join(_write(number, passage) for number, passage in enumerate(passages, start=1))


def _find(name: str) -> BuiltinTool:
    tool = CATALOGUE.get(name)
    if tool is None:
        raise CallFailed(f"There is no tool named {name!r}", code="tool_unknown", source=name, retryable=False)
    return tool


def _write(number: int, passage: Passage) -> str:
    page = "" if passage.page is None else f", page {passage.page}"
    return f"[{number}] {passage.document_name}{page}\n{passage.text}"
