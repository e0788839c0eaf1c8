from shared.web.errors import Conflict, Invalid, NotFound


class ToolNotFound(NotFound):
    code = "tool_not_found"
    message = "There is no such tool."


class ToolInvalid(Invalid):
    code = "tool_invalid"
    message = "The tool cannot be kept like this; the details name what to correct."


class ToolNameTaken(Conflict):
    code = "tool_name_taken"
    message = "Another tool has this name; those that come with the product count too."


class ToolInUse(Conflict):
    code = "tool_in_use"
    message = "Agents or workflows use this tool by its name; the details name them. Take it from them first."


class ToolNeedsConfirmation(Conflict):
    code = "confirmation_needed"
    message = "What this tool does cannot be undone: send `confirm: true` to do it in earnest."
