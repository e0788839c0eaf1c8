"""What an execution runs on, fixed when it is submitted: the graph, its agents, the names of its models.

Later changes to agents or models touch no execution that was accepted, and no secret is in here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError

from shared.database.session import ReadSession
from shared.executions.checking import graph_problems, validated
from shared.executions.children import read_children
from shared.executions.parts import parts_of
from shared.executions.pool import read_pool
from shared.kit.json import JsonObject
from shared.kit.storable import storable
from shared.web.errors import AppError, ErrorDetail
from shared.workflow.agent_texts import AgentTextError, render_agents
from shared.workflow.graph import Graph
from shared.workflow.inputs import with_defaults
from shared.workflow.problems import Problem, Severity
from shared.workflow.validate import validate_inputs


class WorkflowInvalid(AppError):
    status = 422
    code = "workflow_invalid"
    message = "The workflow cannot run; the details name the nodes and fields to correct."


class InputsInvalid(AppError):
    status = 422
    code = "inputs_invalid"
    message = "The inputs do not fit the workflow."


@dataclass(frozen=True, slots=True)
class Snapshot:
    """For a submission: `spec` as the engine reads it, and the inputs with their defaults filled in."""

    spec: JsonObject
    inputs: JsonObject


async def workflow_problems(
    session: ReadSession, graph: JsonObject, *, workflow_id: UUID | None = None, name: str = "this workflow"
) -> list[Problem]:
    """Everything that is wrong with the graph at this tenant: agents' texts, and the workflows that it starts,
    included."""
    problems = graph_problems(graph, await read_pool(session, graph))
    if _is_well_formed(graph):
        children = await read_children(session, graph, workflow_id=workflow_id, name=name)
        problems += children.problems
    return problems


async def snapshot_workflow(
    session: ReadSession,
    graph: JsonObject,
    inputs: JsonObject,
    *,
    workflow_id: UUID,
    workflow_name: str,
    version: int,
) -> Snapshot:
    """Raises `WorkflowInvalid` or `InputsInvalid`, with the places of all that is wrong."""
    about = {"workflow_id": str(workflow_id), "workflow_name": workflow_name, "version": version}
    pool = await read_pool(session, graph)
    refuse(WorkflowInvalid, graph_problems(graph, pool))
    children = await read_children(
        session, Graph.model_validate(graph).dump(), workflow_id=workflow_id, name=workflow_name
    )
    refuse(WorkflowInvalid, children.problems)
    spec = {**about, "graph": children.graph, **parts_of(pool)}
    if children.specs:
        spec["workflows"] = children.specs
    return snapshot_of(spec, inputs)


async def snapshot_agent_job(session: ReadSession, graph: JsonObject, inputs: JsonObject, *, name: str) -> Snapshot:
    """For a graph made to run one agent. Inputs that its texts ask for and do not get are called by their names.

    Raises as `snapshot_workflow` does.
    """
    about = {"workflow_id": None, "workflow_name": name, "version": None}
    pool = await read_pool(session, graph)
    refuse(WorkflowInvalid, validated(graph, pool.references()))
    spec = {**about, "graph": Graph.model_validate(graph).dump(), **parts_of(pool)}
    return snapshot_of(spec, inputs, alone=True)


def snapshot_of(spec: JsonObject, inputs: JsonObject, *, alone: bool = False) -> Snapshot:
    """A snapshot's spec, be it a new one or an earlier one, for these inputs. Raises `InputsInvalid`."""
    graph = Graph.model_validate(spec["graph"])
    filled = with_defaults(graph.inputs, storable(inputs))
    refuse(InputsInvalid, validate_inputs(graph, filled))
    try:
        agents = render_agents(spec["agents"], filled, alone=alone)
    except AgentTextError as broken:
        detail = ErrorDetail(field="inputs", message=broken.message, code="agent_text_invalid")
        raise InputsInvalid(details=[detail]) from None
    return Snapshot({**spec, "agents": agents}, filled)


def _is_well_formed(graph: JsonObject) -> bool:
    try:
        Graph.model_validate(graph)
    except ValidationError:
        return False
    return True


def refuse(failure: type[AppError], problems: Iterable[Problem]) -> None:
    """Raises the failure, with the places, if there is an error among the problems."""
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        raise failure(details=[_detail(problem) for problem in errors])


def _detail(problem: Problem) -> ErrorDetail:
    place = problem.field if problem.node is None else ".".join(filter(None, ("nodes", problem.node, problem.field)))
    return ErrorDetail(field=place, message=problem.message, code=problem.code)
