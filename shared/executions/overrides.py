"""What a fork changes in the snapshot that it runs on, checked as a new submission would be."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from shared.database.session import ReadSession
from shared.database.tables.models import Model
from shared.executions.checking import validated
from shared.executions.children import read_children
from shared.executions.parts import parts_of
from shared.executions.pool import read_pool
from shared.executions.snapshot import Snapshot, WorkflowInvalid, refuse, snapshot_of
from shared.kit.json import Json, JsonObject
from shared.kit.storable import storable
from shared.web.errors import ErrorDetail, Invalid
from shared.workflow.agent_texts import TEXTS, templates_of
from shared.workflow.bodies import config_of, every_node, with_nodes
from shared.workflow.cel.values import is_map
from shared.workflow.expressions import ExpressionError, compile_template
from shared.workflow.graph import Graph
from shared.workflow.validate import References


class ForkInvalid(Invalid):
    code = "fork_invalid"
    message = "The execution cannot be forked like this; the details say why."


def fork_invalid(field: str, message: str, code: str) -> ForkInvalid:
    return ForkInvalid(details=[ErrorDetail(field=field, message=message, code=code)])


async def changed_snapshot(
    session: ReadSession,
    spec: JsonObject,
    inputs: JsonObject,
    *,
    nodes: Mapping[str, JsonObject],
    agents: Mapping[UUID, JsonObject],
    alone: bool,
) -> Snapshot:
    """`nodes` are JSON Merge Patches of configs, `agents` the fields to change. Agents that the snapshot has are
    otherwise as they were when it was taken; those that only the changed graph names are as they are now.

    Raises `ForkInvalid`, `WorkflowInvalid` or `InputsInvalid`, with the places.
    """
    graph = _patched(spec["graph"], nodes)
    pool = await read_pool(session, graph)
    now = parts_of(pool)
    team: JsonObject = {**now["agents"], **_with_agents(spec["agents"], agents)}
    models = await _models(session, pool.models.keys(), {UUID(each["model_id"]) for each in team.values()})
    _require_models(agents, models)
    refuse(WorkflowInvalid, validated(graph, _references(pool.references(), team, models)))
    children = await read_children(
        session,
        Graph.model_validate(graph).dump(),
        workflow_id=None if spec["workflow_id"] is None else UUID(spec["workflow_id"]),
        name=spec["workflow_name"],
        known=spec.get("workflows"),
    )
    refuse(WorkflowInvalid, children.problems)
    changed = {
        **_together(now, spec),
        "graph": children.graph,
        "agents": team,
        "models": {**spec["models"], **{str(id_): about for id_, about in models.items()}},
        **({"workflows": children.specs} if children.specs else {}),
    }
    return snapshot_of(changed, inputs, alone=alone)


def _together(now: JsonObject, spec: JsonObject) -> JsonObject:
    """The snapshot with what only the changed graph names beside what it has."""
    return {**spec, **{name: {**parts, **spec.get(name, {})} for name, parts in now.items()}}


def _references(references: References, team: JsonObject, models: Mapping[UUID, JsonObject]) -> References:
    """The agents are those of the snapshot, who may have left the tenant's pool since; their models must be there."""
    known = {UUID(id_): UUID(agent["model_id"]) for id_, agent in team.items()}
    return replace(references, agents=known, models=models.keys())


async def _models(
    session: ReadSession, of_nodes: AbstractSet[UUID], of_agents: AbstractSet[UUID]
) -> dict[UUID, JsonObject]:
    """Those that the tenant has. What an agent runs on is a chat model."""
    for_agents = Model.id.in_(of_agents) & (Model.kind == "chat")
    statement = select(Model.id, Model.name, Model.provider).where(Model.id.in_(of_nodes) | for_agents)
    rows = (await session.execute(statement)).all()
    return {id_: {"name": name, "provider": provider} for id_, name, provider in rows}


# --- nodes ------------------------------------------------------------------------------------------------


def _patched(graph: JsonObject, patches: Mapping[str, JsonObject]) -> JsonObject:
    if not patches:
        return graph
    known = {node["id"] for node in every_node(graph)}
    for id_ in patches:
        if id_ not in known:
            raise fork_invalid(f"overrides.nodes.{id_}", f"there is no node {id_!r}", "node_unknown")

    def patch(node: JsonObject) -> JsonObject:
        if node["id"] not in patches:
            return node
        return {**node, "config": merged(config_of(node), storable(patches[node["id"]]))}

    return with_nodes(graph, patch)


def merged(value: Json, patch: Json) -> Any:
    """JSON Merge Patch (RFC 7396): objects are merged, null removes, all else takes the place of what there was."""
    if not is_map(patch):
        return patch
    result: JsonObject = dict(value) if is_map(value) else {}
    for name, part in patch.items():
        if part is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), part)
    return result


# --- agents -----------------------------------------------------------------------------------------------


def _with_agents(agents: JsonObject, changes: Mapping[UUID, JsonObject]) -> JsonObject:
    changed = dict(agents)
    for id_, fields in changes.items():
        place = f"overrides.agents.{id_}"
        if str(id_) not in agents:
            raise fork_invalid(place, "no agent of this execution has this id", "agent_unknown")
        for name, complaint in _text_complaints(fields):
            raise fork_invalid(f"{place}.{name}", complaint, "agent_text_invalid")
        agent = agents[str(id_)]
        texts = {name: fields.get(name, agent.get("templates", {}).get(name, agent[name])) for name in TEXTS}
        changed[str(id_)] = {**agent, **storable(fields), **texts, "templates": templates_of(texts)}
    return changed


def _text_complaints(fields: JsonObject) -> Iterator[tuple[str, str]]:
    for name in TEXTS:
        try:
            paths = compile_template(fields.get(name) or "").paths
        except ExpressionError as broken:
            yield name, f"cannot be read: {broken.message}"
            continue
        for path in paths:
            if path[0] != "inputs":
                yield name, f"may refer to inputs alone, not to {path[0]!r}"


def _require_models(agents: Mapping[UUID, JsonObject], models: Mapping[UUID, JsonObject]) -> None:
    for id_, fields in agents.items():
        if "model_id" in fields and UUID(fields["model_id"]) not in models:
            place = f"overrides.agents.{id_}.model_id"
            raise fork_invalid(place, f"there is no model {fields['model_id']}", "model_unknown")
