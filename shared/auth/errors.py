from shared.web.errors import AppError


class NotAuthenticated(AppError):
    status = 401
    code = "not_authenticated"
    message = "Sign in, or send a valid API key."


class NotAllowed(AppError):
    status = 403
    code = "not_allowed"
    message = "Your role does not allow this."
