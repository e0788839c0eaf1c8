"""Templates as crewAI texts, with a report of what is lost on the way."""

from collections.abc import Mapping

from services.workflows.crewai_format.placeholders import to_crewai
from services.workflows.crewai_format.report import Code, Item, Report
from shared.workflow.cel.syntax import Field, Name, Node, Postfix


class TextExport:
    """`last_tasks` names the task whose output stands for that of a node.

    `used` collects the tasks that the texts refer to: they belong in the context.
    """

    def __init__(self, report: Report, last_tasks: Mapping[str, str] | None = None) -> None:
        self._report = report
        self._last_tasks = last_tasks or {}
        self.used: list[str] = []

    def text(self, where: str, template: str) -> str:
        said = to_crewai(template, self._in_words)
        for expression in said.lost:
            message = f"left out: a crew's texts know inputs alone, not `{expression}`"
            self._report.ignored.append(Item(Code.UNSUPPORTED, where, message))
        if said.misread:
            message = "crewAI takes braces around a name for a placeholder, and there is no way to escape them"
            self._report.ignored.append(Item(Code.CHANGED, where, message))
        return said.text.strip()

    def _in_words(self, expression: Node) -> str | None:
        match expression:
            case Postfix(base=Name(name="nodes"), steps=(Field(name=str(node)), Field("output"), Field("text"))):
                task = self._last_tasks.get(node)
            case _:
                return None
        if task is None:
            return None
        self.used.append(task)
        return f"(the output of the task {task})"
