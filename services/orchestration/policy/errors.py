from shared.web.errors import Invalid


class MoreThanAllowed(Invalid):
    code = "max_running_not_allowed"
    message = "The operator allows fewer executions at once."
