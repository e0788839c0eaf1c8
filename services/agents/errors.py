from shared.web.errors import Conflict, Invalid, NotFound


class AgentNotFound(NotFound):
    code = "agent_not_found"
    message = "There is no such agent."


class AgentInvalid(Invalid):
    code = "agent_invalid"
    message = "The agent cannot be kept like this; the details name what to correct."


class AgentInUse(Conflict):
    code = "agent_in_use"
    message = "Workflows use this agent; the details name them. Take it out of them first."
