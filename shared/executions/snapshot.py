"""What an execution runs on, fixed when it is submitted: the graph, its agents, the names of its models.

Later changes to agents or models touch no execution that was accepted, and no secret is in here.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from shared.database.session import ReadSession
from shared.database.tables.agents import Agent
from shared.executions.agent_texts import agent_text_problems, render, render_alone
from shared.executions.pool import Pool, read_pool
from shared.kit.json import JsonObject, content_hash
from shared.kit.storable import storable
from shared.web.errors import AppError, ErrorDetail
from shared.workflow.expressions import ExpressionError, Meter
from shared.workflow.graph import Graph
from shared.workflow.inputs import with_defaults
from shared.workflow.problems import Problem, Severity
from shared.workflow.validate import References, validate_graph, validate_inputs

_Render = Callable[[Agent, JsonObject, Meter], Mapping[str, str]]


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


async def workflow_problems(session: ReadSession, graph: JsonObject) -> list[Problem]:
    """Everything that is wrong with the graph at this tenant, agents' texts included."""
    return _problems(graph, await read_pool(session, graph))


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
    _refuse(WorkflowInvalid, _problems(graph, pool))
    return _snapshot(graph, inputs, pool, about, render)


async def snapshot_agent_job(session: ReadSession, graph: JsonObject, inputs: JsonObject, *, name: str) -> Snapshot:
    """For a graph made to run one agent. Inputs that its texts ask for and do not get are called by their names.

    Raises as `snapshot_workflow` does.
    """
    about = {"workflow_id": None, "workflow_name": name, "version": None}
    pool = await read_pool(session, graph)
    _refuse(WorkflowInvalid, _validate(graph, pool.references()))
    return _snapshot(graph, inputs, pool, about, render_alone)


def _problems(graph: JsonObject, pool: Pool) -> list[Problem]:
    problems = _validate(graph, pool.references())
    if pool.mentions:
        problems += agent_text_problems(Graph.model_validate(graph), pool)
    return problems


# A version is started far more often than it, or what it refers to, changes. Content alone is the key.
_validated: OrderedDict[tuple[object, ...], tuple[Problem, ...]] = OrderedDict()
_MOST_VALIDATED = 500


def _validate(graph: JsonObject, references: References) -> list[Problem]:
    key = (
        content_hash(graph),
        frozenset(references.agents.items()),
        frozenset(references.models),
        frozenset(references.knowledge_bases),
    )
    if key not in _validated:
        _validated[key] = tuple(validate_graph(graph, references))
        if len(_validated) > _MOST_VALIDATED:
            _validated.popitem(last=False)
    return list(_validated[key])


def _snapshot(graph: JsonObject, inputs: JsonObject, pool: Pool, about: JsonObject, render_: _Render) -> Snapshot:
    parsed = Graph.model_validate(graph)
    filled = with_defaults(parsed.inputs, storable(inputs))
    _refuse(InputsInvalid, validate_inputs(parsed, filled))
    meter = Meter()
    agents = {str(agent.id): _agent(agent, pool, filled, meter, render_) for agent in pool.agents.values()}
    models = {str(model.id): {"name": model.name, "provider": model.provider} for model in pool.models.values()}
    return Snapshot({**about, "graph": parsed.dump(), "agents": agents, "models": models}, filled)


def _agent(agent: Agent, pool: Pool, inputs: JsonObject, meter: Meter, render_: _Render) -> dict[str, Any]:
    try:
        texts = render_(agent, inputs, meter)
    except ExpressionError as broken:
        message = f"the texts of agent {agent.name!r} cannot be made of these inputs: {broken.message}"
        raise InputsInvalid(details=[ErrorDetail(field="inputs", message=message, code="agent_text_invalid")]) from None
    return {
        "id": str(agent.id),
        "name": agent.name,
        **texts,
        "system_prompt": agent.system_prompt,
        "model_id": str(agent.model_id),
        "tools": list(agent.tools),
        "knowledge_base_ids": [str(i) for i in pool.agent_knowledge_bases.get(agent.id, ())],
        "max_iterations": agent.max_iterations,
        "temperature": agent.temperature,
        "max_tokens": agent.max_tokens,
        "allow_delegation": agent.allow_delegation,
    }


def _refuse(failure: type[AppError], problems: Iterable[Problem]) -> None:
    errors = [problem for problem in problems if problem.severity is Severity.ERROR]
    if errors:
        raise failure(details=[_detail(problem) for problem in errors])


def _detail(problem: Problem) -> ErrorDetail:
    place = problem.field if problem.node is None else ".".join(filter(None, ("nodes", problem.node, problem.field)))
    return ErrorDetail(field=place, message=problem.message, code=problem.code)
