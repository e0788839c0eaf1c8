"""Why a page could not be had."""

from shared.executions.jobs import JobFailed


class PageFailed(JobFailed):
    """`passes`: the same request may come through later. `after`: in so many seconds, if the server says."""

    def __init__(self, code: str, message: str, *, passes: bool = False, after: float | None = None) -> None:
        super().__init__(code, message)
        self.passes = passes
        self.after = after
