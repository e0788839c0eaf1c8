"""How a crew fails by its own doing. What fails outside the worker is a `CallFailed` of the call that failed."""


class CrewFailed(Exception):
    """`code` is for programs; the message names the agent and what to do."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
