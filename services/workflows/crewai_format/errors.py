"""What is wrong with a project's files, as a person who has them open would want to hear it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    message: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        if self.file is None:
            return self.message
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.message}"


class ProjectError(Exception):
    """The files cannot be read as a project. Holds every fault that could be found in one reading."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults
