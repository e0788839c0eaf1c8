from shared.web.errors import AppError, Conflict, Invalid, NotFound


class TriggerNotFound(NotFound):
    code = "trigger_not_found"
    message = "There is no such trigger."


class KindFixed(Invalid):
    code = "trigger_kind_fixed"
    message = "A trigger's kind cannot be changed: delete it, and make another."


class NotAWebhook(Conflict):
    code = "trigger_not_a_webhook"
    message = "Only a webhook has a secret."


class HookRefused(AppError):
    """Nobody is to learn from it which URLs there are."""

    status = 401
    code = "hook_refused"
    message = "There is no such webhook, or the delivery is not signed with its secret."


class HookDisabled(Conflict):
    code = "hook_disabled"
    message = "This webhook is disabled."


class HookFailed(Invalid):
    """The sender need not be one of the tenant: what is wrong stands on the trigger."""

    code = "hook_failed"
    message = "The delivery was taken but could not start the workflow; the trigger says why."
