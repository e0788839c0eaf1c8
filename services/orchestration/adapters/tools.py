"""The engine's tools: those that come with the product.

A tool that cannot do what it was asked says so in words, for the model to read: that is an answer, and the journal
records it as one. `CallFailed` is for what may be different the next time.
"""

from services.orchestration.engine.ports import CallFailed, Effect, Knowledge, Passage, ToolContext, ToolSpec
from shared.kit.json import JsonObject
from shared.tools.catalogue import CATALOGUE, DEFAULT_PASSAGES, BuiltinTool
from shared.tools.errors import ToolInputError


class BuiltinTools:
    """The `Tools` port over the catalogue."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def describe(self, name: str) -> ToolSpec:
        tool = _find(name)
        return ToolSpec(
            name=tool.name, description=tool.description, parameters=tool.parameters, effect=Effect(tool.effect)
        )

    async def call(self, name: str, arguments: JsonObject, context: ToolContext) -> str:
        tool = _find(name)
        try:
            tool.check(arguments)
            return tool.run(**arguments) if tool.run else await self._search(arguments, context)
        except ToolInputError as error:
            return f"Error: {error}"

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
