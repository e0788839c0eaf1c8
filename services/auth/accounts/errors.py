from shared.web.errors import AppError, Conflict


class EmailTaken(Conflict):
    code = "email_taken"
    message = "There is an account with this email address already."


class WrongCredentials(AppError):
    status = 401
    code = "wrong_credentials"
    message = "Email address or password is wrong."


class SessionEnded(AppError):
    status = 401
    code = "session_ended"
    message = "The session has ended. Sign in again."


class ForeignOrigin(AppError):
    status = 403
    code = "foreign_origin"
    message = "This request must come from the app itself, with the X-Quarterdeck-Client header."


class WrongPassword(AppError):
    status = 403
    code = "wrong_password"
    message = "The current password is wrong."
