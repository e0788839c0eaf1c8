from shared.web.errors import AppError, Invalid


class KnowledgeLimitReached(AppError):
    status = 413
    code = "knowledge_limit_reached"
    message = "The limit of what may be kept is reached."


class MoreThanAllowed(Invalid):
    code = "knowledge_limit_not_allowed"
    message = "The operator allows less."
