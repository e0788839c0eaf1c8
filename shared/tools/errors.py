class ToolRefused(Exception):
    """The tool did not do what it was asked, and would not if it were asked again. The text is for whoever asked, a
    model as a rule. `status` is that of the answer, if another system gave one."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ToolInputError(ToolRefused):
    """What a tool was given is wrong."""
