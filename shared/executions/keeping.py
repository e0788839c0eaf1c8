"""Which steps of an execution stay when another one is made of it, and which run again. Nothing is read or written.

A retry keeps what succeeded. A fork has a cut besides: the step it begins at and all that comes after that run again,
in the bodies of maps and loops as well.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from uuid import UUID

from shared.kit.json import JsonObject
from shared.workflow.bodies import body_of, deeper, segments
from shared.workflow.graph import Edge
from shared.workflow.states import StepStatus

_STAYS = (StepStatus.SUCCEEDED, StepStatus.SKIPPED)


class Fate(Enum):
    """`KEPT` as it is; `RESUMED` from what is on record of its calls; `DROPPED`, as if it had never been reached."""

    KEPT = auto()
    RESUMED = auto()
    DROPPED = auto()


@dataclass(frozen=True, slots=True)
class Place:
    """A step's place: its node, and where in the bodies of maps and loops (`each[3]/inner[0]`, "" at the top)."""

    node: str
    path: str


@dataclass(frozen=True, slots=True)
class PastStep:
    """What has to be known of a recorded step."""

    id: UUID
    place: Place
    status: StepStatus


@dataclass(slots=True)
class _Level:
    """One graph: the top, or a body. `repeats` says that it is a loop's: a later iteration follows an earlier one."""

    nodes: dict[str, JsonObject] = field(default_factory=dict[str, JsonObject])
    edges: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    repeats: bool = False

    def downstream(self, node: str) -> set[str]:
        found: set[str] = set()
        todo = [node]
        while todo:
            before = todo.pop()
            new = [target for source, target in self.edges if source == before and target not in found]
            found.update(new)
            todo += new
        return found


class Layout:
    """The nodes of a graph, those in bodies included: ids are unique in all of it."""

    def __init__(self, graph: JsonObject) -> None:
        self._levels: dict[str | None, _Level] = {}
        self._within: dict[str, str | None] = {}
        self._add(graph, None, repeats=False)

    def _add(self, graph: JsonObject, container: str | None, *, repeats: bool) -> None:
        edges = [(edge.source, edge.target) for edge in map(Edge.model_validate, graph.get("edges", ()))]
        level = self._levels[container] = _Level({node["id"]: node for node in graph["nodes"]}, edges, repeats)
        for id_, node in level.nodes.items():
            self._within[id_] = container
            body = body_of(node)
            if body is not None:
                self._add(body, id_, repeats=node["type"] == "loop")

    def node(self, id_: str) -> JsonObject | None:
        """The node, wherever it stands."""
        return self._levels[self._within[id_]].nodes[id_] if id_ in self._within else None

    def downstream(self, node: str) -> set[str]:
        """The nodes after this one in the same graph or body."""
        return self._levels[self._within[node]].downstream(node)

    def repeats(self, container: str) -> bool:
        return self._levels[container].repeats

    def fits(self, place: Place) -> bool:
        """Whether a step can have been there at all."""
        containers = [node for node, _ in segments(place.path)]
        chain = [*containers, place.node]
        return all(
            node in self._within and self._within[node] == outer
            for node, outer in zip(chain, [None, *containers], strict=True)
        )


class Cut:
    """Where a fork begins: what is at `place`, and what follows it, is dropped; the bodies around it are resumed."""

    def __init__(self, layout: Layout, place: Place) -> None:
        self.place = place
        self._layout = layout
        self._around: dict[Place, int] = {}
        self._dropped: set[Place] = {place}
        path = ""
        for container, index in segments(place.path):
            self._around[Place(container, path)] = index
            self._drop_after(container, path)
            path = deeper(path, container, index)
        self._drop_after(place.node, path)

    def _drop_after(self, node: str, path: str) -> None:
        self._dropped.update(Place(each, path) for each in self._layout.downstream(node))

    def fate(self, place: Place) -> Fate | None:
        """None when the cut has nothing to say of it."""
        if place in self._around:
            return Fate.RESUMED
        if any(each in self._dropped for each in (place, *_containers(place))):
            return Fate.DROPPED
        return Fate.DROPPED if self._is_in_a_later_iteration(place) else None

    def _is_in_a_later_iteration(self, place: Place) -> bool:
        path = ""
        for container, index in segments(place.path):
            cut_at = self._around.get(Place(container, path))
            if cut_at is not None and index > cut_at and self._layout.repeats(container):
                return True
            path = deeper(path, container, index)
        return False


def fates(steps: Sequence[PastStep], cut: Cut | None = None) -> dict[UUID, Fate]:
    """Of every step. What lies in a body stays as it is if the body's own step does, failures that it lived with
    included."""
    by_place = {step.place: step for step in steps}
    return {step.id: _fate(step, by_place, cut) for step in steps}


def _fate(step: PastStep, by_place: Mapping[Place, PastStep], cut: Cut | None) -> Fate:
    told = cut.fate(step.place) if cut is not None else None
    if told is not None:
        return told
    if step.status in _STAYS:
        return Fate.KEPT
    around = [by_place[place] for place in _containers(step.place) if place in by_place]
    if any(each.status in _STAYS and _untouched(each.place, cut) for each in around):
        return Fate.KEPT
    return Fate.RESUMED


def _untouched(place: Place, cut: Cut | None) -> bool:
    return cut is None or cut.fate(place) is None


def _containers(place: Place) -> Iterator[Place]:
    """The steps in whose bodies this one is, the outermost first."""
    path = ""
    for container, index in segments(place.path):
        yield Place(container, path)
        path = deeper(path, container, index)


# --- the calls of a step that is resumed ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PastCall:
    """What has to be known of a recorded call. Calls are given in the order of their start."""

    id: UUID
    key: str
    failed: bool
    once: bool


@dataclass(frozen=True, slots=True)
class Recall:
    """The calls a resumed step has on record. Those `in_doubt` are as if nobody knew how they ended: a person says."""

    replayed: list[UUID]
    in_doubt: list[UUID]


# Failures by which the calls before them stand. After any other failure of the step itself, an answer in the wrong form
# for example, replaying its calls would only lead there again.
_CALLS_STAND = frozenset(("timeout", "journal_diverged", "call_in_doubt", "step_aborted", "budget_exceeded"))


def starts_afresh(status: StepStatus, error: JsonObject | None) -> bool:
    """Whether a step that ended like this must make its calls anew."""
    if status is not StepStatus.FAILED or error is None:
        return False
    return "call" not in error and error.get("code") not in _CALLS_STAND


def recall(calls: Iterable[PastCall], generation: int, ended_by: str | None) -> Recall:
    """The calls of this generation, save the one that ended the step (`ended_by` is its key; else, if it failed, the
    last): that one is made again, or, if it must not be made twice, put before a person."""
    stands = [call for call in calls if generation_of(call.key) == generation]
    if ended_by is None and stands and stands[-1].failed:
        ended_by = stands[-1].key
    again = [call for call in stands if call.failed and call.key == ended_by]
    return Recall(
        replayed=[call.id for call in stands if call not in again],
        in_doubt=[call.id for call in again if call.once],
    )


def generation_of(key: str) -> int:
    """Of a call or a wait."""
    return int(key.split("/", 1)[0])
