from services.orchestration.engine.codec import passages
from services.orchestration.engine.passages import numbered
from services.orchestration.engine.ports import KnowledgeRequest, StepFailed
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
        request = KnowledgeRequest(
            knowledge_base_ids=config.knowledge_base_ids,
            query=told["query"],
            top_k=config.top_k,
            mode=config.mode,
            tags=config.tags,
            document_ids=config.document_ids,
            min_score=config.min_score,
            rerank_model_id=config.rerank_model_id,
        )
        found = (await context.calls.knowledge(request)).passages
        return {"passages": passages(found), "text": numbered(found)}
