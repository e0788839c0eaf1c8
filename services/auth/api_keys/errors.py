from shared.web.errors import Invalid


class ScopeTooWide(Invalid):
    code = "scope_too_wide"
    message = "A key cannot do more than you can."


class AlreadyExpired(Invalid):
    code = "already_expired"
    message = "expires_at lies in the past."
