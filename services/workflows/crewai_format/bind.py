"""Says which agent does which task, where the files leave it open."""

from collections.abc import Mapping
from dataclasses import replace

from services.workflows.crewai_format.errors import Fault, ProjectError
from services.workflows.crewai_format.project import CrewProject, CrewTask, Process
from services.workflows.crewai_format.report import Code, Report, placed


class BindingError(ProjectError):
    """A binding names a task or an agent that the project does not have."""


def bind(project: CrewProject, bindings: Mapping[str, str], report: Report) -> CrewProject:
    """Applies `bindings` (task -> agent), which win over the files.

    A crew's only agent does every task that names none. Tasks that stay unbound are reported; in a hierarchical
    crew the manager hands those out, as in crewAI. Raises `BindingError` if a binding names what is not there.
    """
    _check(project, bindings)
    return replace(project, tasks=tuple(_bind(project, task, bindings, report) for task in project.tasks))


def _check(project: CrewProject, bindings: Mapping[str, str]) -> None:
    tasks = {task.key for task in project.tasks}
    agents = {agent.key for agent in project.agents}
    faults = [Fault(f"bindings: there is no task '{task}'") for task in bindings if task not in tasks]
    faults += [Fault(f"bindings.{task}: there is no agent '{a}'") for task, a in bindings.items() if a not in agents]
    if faults:
        raise BindingError(*faults)


def _bind(project: CrewProject, task: CrewTask, bindings: Mapping[str, str], report: Report) -> CrewTask:
    where = f"tasks.{task.key}.agent"
    agents = {agent.key for agent in project.agents}
    if task.key in bindings:
        agent = bindings[task.key]
        report.mapped.append(placed(Code.BINDING, where, f"bound to '{agent}' as the request says", task.place))
        return replace(task, agent=agent)
    if task.agent is not None and task.agent not in agents:
        report.missing.append(placed(Code.AGENT_UNKNOWN, where, f"there is no agent '{task.agent}'", task.place))
        return replace(task, agent=None)
    if task.agent is None and len(agents) == 1:
        agent = project.agents[0].key
        report.mapped.append(placed(Code.BINDING, where, f"bound to '{agent}', the only agent", task.place))
        return replace(task, agent=agent)
    if task.agent is None and project.process is Process.SEQUENTIAL:
        message = "no agent is named; crew.py may hold the binding, and it is not read. Give it in `bindings`"
        report.missing.append(placed(Code.AGENT_UNBOUND, where, message, task.place))
    return task
