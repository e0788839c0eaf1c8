from shared.web.errors import Conflict, Invalid


class NameTaken(Conflict):
    code = "knowledge_base_name_taken"
    message = "Another knowledge base has this name."


class SummaryModelUnknown(Invalid):
    code = "summary_model_unknown"
    message = "There is no such chat model."


class EmbeddingModelUnknown(Invalid):
    code = "embedding_model_unknown"
    message = "There is no such embedding model."
