from collections.abc import Sequence

from services.orchestration.engine.codec import passages
from services.orchestration.engine.ports import Passage, StepFailed
from services.orchestration.engine.steps.base import CallingStep, StepContext, TemplateField
from shared.kit.json import Json, JsonObject
from shared.workflow.configs.knowledge import KnowledgeSearchConfig
from shared.workflow.expressions import Meter, Scope


class KnowledgeSearchStep(CallingStep):
    def __init__(self, config: KnowledgeSearchConfig) -> None:
        self._config = config
        self._query = TemplateField("query", config.query)

    def render(self, scope: Scope) -> JsonObject:
        query = self._query.render(scope, Meter()).strip()
        if not query:
            raise StepFailed("query: there is nothing to search for", code="query_empty", retryable=False)
        return {"query": query}

    async def run(self, told: JsonObject, context: StepContext) -> Json:
        config = self._config
        found = await context.calls.knowledge(
            config.knowledge_base_ids, told["query"], top_k=config.top_k, mode=config.mode
        )
        return {"passages": passages(found), "text": as_text(found)}


def as_text(found: Sequence[Passage]) -> str:
    """The passages for a prompt, numbered and with their source, so that an agent can cite them."""
    return "\n\n".join(f"[{number}] {_source(each)}\n{each.text}" for number, each in enumerate(found, start=1))


def _source(found: Passage) -> str:
    return found.document_name if found.page is None else f"{found.document_name}, page {found.page}"
