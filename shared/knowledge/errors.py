from shared.web.errors import AppError, Conflict, NotFound


class KnowledgeBaseNotFound(NotFound):
    code = "knowledge_base_not_found"
    message = "There is no such knowledge base."


class VectorStoreUnavailable(AppError):
    status = 503
    code = "vector_store_unavailable"
    message = "The vector store (Chroma) does not answer. Try again in a moment."


class VectorStoreRefused(AppError):
    """A request of ours that Chroma does not take: a fault of ours, or a store that is not what we left."""

    code = "vector_store_refused"
    message = "The vector store (Chroma) refused the request."


class EmbeddingModelMissing(AppError):
    status = 503
    code = "embedding_model_missing"
    message = "The embedding model is not installed on this machine."


class EmbeddingModelGone(Conflict):
    code = "embedding_model_gone"
    message = "The embedding model does not exist any more, or is no embedding model: choose another one."


class RerankModelNotFound(NotFound):
    code = "rerank_model_not_found"
    message = "There is no such model, or it can neither rerank nor chat."


class RerankFailed(AppError):
    """Never an answer by itself: what was found is given in the order it had."""

    status = 502
    code = "rerank_failed"
    message = "The rerank model did not answer."
