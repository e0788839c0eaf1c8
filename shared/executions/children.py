"""The workflows that a graph starts as part of itself: found, pinned to a version, checked, snapshotted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import and_, select

from shared.database.session import ReadSession
from shared.database.tables.workflows import Workflow, WorkflowVersion
from shared.executions.checking import graph_problems
from shared.executions.parts import parts_of
from shared.executions.pool import read_pool
from shared.kit.json import JsonObject
from shared.workflow.bodies import config_of, with_nodes
from shared.workflow.cel.values import is_map
from shared.workflow.children import MAX_DEPTH, SUB_WORKFLOW, sub_workflow_nodes, workflow_key
from shared.workflow.graph import Graph
from shared.workflow.inputs import known_inputs, with_defaults
from shared.workflow.problems import Problem, Severity, error

# More workflows than this in one execution are refused: a snapshot holds them all.
_MOST_WORKFLOWS = 100


@dataclass(frozen=True, slots=True)
class _Found:
    """A version of a workflow of the tenant's."""

    id: UUID
    name: str
    version: int
    graph: JsonObject

    @property
    def key(self) -> str:
        return workflow_key(self.id, self.version)


@dataclass(frozen=True, slots=True)
class _Way:
    """How one came to a graph: the workflows from the top down to it, and the node of the first that led there."""

    ids: tuple[UUID | None, ...]
    names: tuple[str, ...]
    top: str | None = None

    @property
    def depth(self) -> int:
        return len(self.names) - 1

    def then(self, found: _Found, node: str) -> "_Way":
        return _Way((*self.ids, found.id), (*self.names, found.name), self.top or node)


@dataclass(frozen=True, slots=True)
class _Extent:
    """What lies below a graph: the workflows, how deep they are nested, and whether one was found where it must not
    be."""

    ids: frozenset[UUID] = frozenset()
    height: int = 0
    refused: bool = False

    def over(self, below: "_Extent", workflow_id: UUID, *, refused: bool) -> "_Extent":
        ids = self.ids | below.ids | {workflow_id}
        return _Extent(ids, max(self.height, below.height + 1), self.refused or below.refused or refused)


@dataclass(slots=True)
class Children:
    """`graph` with every version pinned, `specs` as `spec["workflows"]` holds them, and what is wrong."""

    graph: JsonObject
    specs: JsonObject = field(default_factory=dict[str, Any])
    problems: list[Problem] = field(default_factory=list[Problem])


async def read_children(
    session: ReadSession, graph: JsonObject, *, workflow_id: UUID | None, name: str, known: JsonObject | None = None
) -> Children:
    """`graph` must be well formed. `workflow_id` is that of its own workflow, if it has one yet. What is in `known`,
    the workflows of an earlier snapshot, is taken from there as it was."""
    if next(sub_workflow_nodes(graph), None) is None:
        return Children(graph)
    reading = _Reading(session, known or {})
    pinned, _ = await reading.look_into(graph, _Way((workflow_id,), (name,)))
    return Children(pinned, reading.specs, reading.problems)


class _Reading:
    """Every version is looked into once, however many ways lead to it."""

    def __init__(self, session: ReadSession, known: JsonObject) -> None:
        self._session = session
        self._known = known
        self._found: dict[tuple[UUID, int | None], _Found | None] = {}
        self._extents: dict[str, _Extent] = {}
        self.specs: JsonObject = {}
        self.problems: list[Problem] = []

    async def look_into(self, graph: JsonObject, way: _Way) -> tuple[JsonObject, _Extent]:
        """The graph with its versions pinned. What it starts is added to `specs`, what is wrong to `problems`."""
        versions: dict[str, int] = {}
        extent = _Extent()
        for node in sub_workflow_nodes(graph):
            found = await self._find_for(node, way)
            if found is None:
                continue
            versions[node["id"]] = found.version
            self.problems += _input_problems(node, found, way)
            below = await self._take(found, way, node["id"])
            # Told once, where it is found, and not at every level above.
            refused = not below.refused and self._is_out_of_place(found, below, way, node["id"])
            extent = extent.over(below, found.id, refused=refused)
        return _pinned(graph, versions), extent

    async def _find_for(self, node: JsonObject, way: _Way) -> _Found | None:
        asked = _asked_for(node)
        if asked is None:
            return None  # the node's own config is wrong, which validation tells
        found = await self._find(*asked)
        if found is not None:
            return found
        workflow_id, version = asked
        if version is None or await self._find(workflow_id, None) is None:
            message = f"there is no workflow {workflow_id}: choose one that exists"
            self._complain(way, node["id"], "workflow_unknown", "workflow_id", message)
        else:
            self._complain(way, node["id"], "version_unknown", "version", f"the workflow has no version {version}")
        return None

    async def _find(self, workflow_id: UUID, version: int | None) -> _Found | None:
        if version is not None and (earlier := self._known.get(workflow_key(workflow_id, version))) is not None:
            return _Found(workflow_id, earlier["workflow_name"], version, earlier["graph"])
        key = (workflow_id, version)
        if key not in self._found:
            self._found[key] = await _read(self._session, workflow_id, version)
        return self._found[key]

    async def _take(self, found: _Found, way: _Way, node: str) -> _Extent:
        if found.id in way.ids or way.depth >= MAX_DEPTH:
            return _Extent()  # refused, so there is no need to go on, perhaps for ever
        if found.key not in self._extents:
            if len(self._extents) >= _MOST_WORKFLOWS:
                message = f"it starts more than {_MOST_WORKFLOWS} workflows, one within another"
                self._complain(way, node, "workflow_too_deep", "workflow_id", message)
                return _Extent()
            self._extents[found.key] = _Extent()
            await self._look_at(found, way, node)
        return self._extents[found.key]

    async def _look_at(self, found: _Found, way: _Way, node: str) -> None:
        graph, self._extents[found.key] = await self.look_into(found.graph, way.then(found, node))
        earlier = self._known.get(found.key)
        if earlier is not None:
            self.specs[found.key] = earlier
            return
        pool = await read_pool(self._session, found.graph)
        wrong = [each for each in graph_problems(found.graph, pool) if each.severity is Severity.ERROR]
        if wrong:
            message = f"workflow {found.name!r}, version {found.version}, cannot run: {wrong[0].message}"
            self._complain(way, node, "workflow_invalid", "workflow_id", message)
        self.specs[found.key] = {
            "workflow_id": str(found.id),
            "workflow_name": found.name,
            "version": found.version,
            "graph": graph,
            **parts_of(pool),
        }

    def _is_out_of_place(self, found: _Found, below: _Extent, way: _Way, node: str) -> bool:
        """Whether it must not stand here, below these workflows; says why."""
        names = " -> ".join([*way.names, found.name])
        if found.id in way.ids or below.ids.intersection(way.ids):
            message = f"workflows would start one another without end: {names}"
            self._complain(way, node, "workflow_circle", "workflow_id", message)
            return True
        if way.depth + 1 + below.height > MAX_DEPTH:
            message = f"workflows are nested more than {MAX_DEPTH} deep, by way of {names}"
            self._complain(way, node, "workflow_too_deep", "workflow_id", message)
            return True
        return False

    def _complain(self, way: _Way, node: str, code: str, field_: str, message: str) -> None:
        self.problems.append(_problem(way, node, code, field_, message))


async def _read(session: ReadSession, workflow_id: UUID, version: int | None) -> _Found | None:
    wanted = Workflow.latest_version if version is None else version
    statement = (
        select(Workflow.name, WorkflowVersion)
        .join(WorkflowVersion, and_(WorkflowVersion.workflow_id == Workflow.id, WorkflowVersion.version == wanted))
        .where(Workflow.id == workflow_id)
    )
    row = (await session.execute(statement)).one_or_none()
    if row is None:
        return None
    name, found = row
    return _Found(workflow_id, name, found.version, Graph.model_validate(found.graph).dump())


def _asked_for(node: JsonObject) -> tuple[UUID, int | None] | None:
    config = config_of(node)
    version: Any = config.get("version")
    try:
        return UUID(str(config["workflow_id"])), None if version is None else int(version)
    except (KeyError, ValueError, TypeError):
        return None


def _pinned(graph: JsonObject, versions: Mapping[str, int]) -> JsonObject:
    def pin(node: JsonObject) -> JsonObject:
        if node["type"] != SUB_WORKFLOW or node["id"] not in versions:
            return node
        return {**node, "config": {**config_of(node), "version": versions[node["id"]]}}

    return with_nodes(graph, pin)


def _input_problems(node: JsonObject, found: _Found, way: _Way) -> Iterator[Problem]:
    """What can be known of the inputs before they are: their names."""
    given: Any = config_of(node).get("inputs") or {}
    names = known_inputs(found.graph["inputs"])
    if not is_map(given) or names is None:
        return
    for name in given:
        if name not in names:
            message = f"workflow {found.name!r} has no input {name!r}; it has {', '.join(names) or 'none'}"
            yield _problem(way, node["id"], "input_unknown", f"inputs.{name}", message)
    defaults = with_defaults(found.graph["inputs"], {})
    for name in found.graph["inputs"].get("required", ()):
        if name not in given and name not in defaults:
            message = f"workflow {found.name!r} needs the input {name!r}"
            yield _problem(way, node["id"], "input_missing", "inputs", message)


def _problem(way: _Way, node: str, code: str, field_: str, message: str) -> Problem:
    """At the node of the graph that was asked about, however far down the fault lies."""
    if way.top is None:
        return error(code, f"node {node!r}, {field_}: {message}", node=node, field=field_)
    place = f"node {way.top!r}, workflow_id: in workflow {way.names[-1]!r}, node {node!r}, {field_}"
    return error(code, f"{place}: {message}", node=way.top, field="workflow_id")
