"""What stays of an execution when another one is made of it."""

from collections.abc import Iterable
from uuid import UUID

import pytest

from shared.executions.keeping import Cut, Fate, Layout, PastCall, PastStep, Place, fates, recall, starts_afresh
from shared.kit.json import JsonObject
from shared.workflow.states import StepStatus


def node(id_: str, type_: str = "transform", body: JsonObject | None = None) -> JsonObject:
    return {"id": id_, "type": type_, "config": {} if body is None else {"body": body}}


def graph(nodes: list[JsonObject], *edges: str) -> JsonObject:
    """Edges as `a>b`."""
    return {"nodes": nodes, "edges": [dict(zip(("from", "to"), each.split(">"), strict=True)) for each in edges]}


# a > each( loop( x > y ) > z ) > b, and c beside them.
NESTED = graph(
    [
        node("a"),
        node("each", "map", graph([node("loop", "loop", graph([node("x"), node("y")], "x>y")), node("z")], "loop>z")),
        node("b"),
        node("c"),
    ],
    "a>each",
    "each>b",
)


def ran(*places: str, status: StepStatus = StepStatus.SUCCEEDED) -> list[PastStep]:
    """Places as `path:node`."""
    return [PastStep(UUID(int=hash(each) % 2**64), place(each), status) for each in places]


def place(text: str) -> Place:
    path, _, id_ = text.rpartition(":")
    return Place(id_, path)


ALL = ran(
    "a",
    "c",
    "each",
    "each[0]:loop",
    "each[0]/loop[0]:x",
    "each[0]/loop[0]:y",
    "each[0]:z",
    "each[1]:loop",
    "each[1]/loop[0]:x",
    "each[1]/loop[0]:y",
    "each[1]/loop[1]:x",
    "each[1]/loop[1]:y",
    "each[1]/loop[2]:x",
    "each[1]:z",
    "b",
)


def with_fate(fate: Fate, steps: list[PastStep], cut: Cut | None = None) -> set[str]:
    decided = fates(steps, cut)
    return {f"{step.place.path}:{step.place.node}".lstrip(":") for step in steps if decided[step.id] is fate}


@pytest.mark.parametrize(
    ("begin", "dropped", "resumed"),
    [
        ("c", ["c"], []),
        ("a", [f"{s.place.path}:{s.place.node}".lstrip(":") for s in ALL if s.place.node != "c"], []),
        ("b", ["b"], []),
        ("each[0]:z", ["each[0]:z", "b"], ["each"]),
        (
            "each[1]/loop[1]:x",
            ["each[1]/loop[1]:x", "each[1]/loop[1]:y", "each[1]/loop[2]:x", "each[1]:z", "b"],
            ["each", "each[1]:loop"],
        ),
        ("each[1]/loop[0]:y", ["each[1]/loop[0]:y", "each[1]/loop[1]:x", "each[1]/loop[1]:y", "each[1]/loop[2]:x",
                               "each[1]:z", "b"], ["each", "each[1]:loop"]),
    ],
)  # fmt: skip
def test_a_fork_drops_what_comes_after_its_beginning(begin: str, dropped: list[str], resumed: list[str]) -> None:
    cut = Cut(Layout(NESTED), place(begin))
    assert with_fate(Fate.DROPPED, ALL, cut) == set(dropped)
    assert with_fate(Fate.RESUMED, ALL, cut) == set(resumed)


def test_a_retry_keeps_what_succeeded_and_what_was_lived_with() -> None:
    steps = [
        *ran("a", "each[0]/loop[0]:x", "each[0]:loop"),
        *ran("each", "each[0]:z", status=StepStatus.FAILED),
        *ran("c", status=StepStatus.CANCELLED),
    ]
    assert with_fate(Fate.RESUMED, steps) == {"each", "each[0]:z", "c"}
    lived_with = [*ran("each"), *ran("each[0]:z", status=StepStatus.FAILED)]
    assert with_fate(Fate.KEPT, lived_with) == {"each", "each[0]:z"}


def test_places_that_a_graph_does_not_have() -> None:
    layout = Layout(NESTED)
    there = ("a", "each[9]:z", "each[0]/loop[7]:y")
    assert all(layout.fits(place(each)) for each in there)
    assert not any(layout.fits(place(each)) for each in ("nothing", "each[0]:a", "z", "loop[0]:x", "a[0]:b"))


def called(*calls: str) -> Iterable[PastCall]:
    """Calls as their key, with `!` if they failed and `1` if they must be made once."""
    for number, each in enumerate(calls):
        yield PastCall(UUID(int=number), each.removesuffix("1").removesuffix("!"), "!" in each, each.endswith("!1"))


def test_the_call_that_ended_a_step_is_made_again_and_the_others_are_not() -> None:
    calls = ("1//llm/a", "2//llm/a", "2//tool/a!", "2//llm/b!")
    ended = recall(called(*calls), 2, "2//llm/b")
    assert (ended.replayed, ended.in_doubt) == ([UUID(int=1), UUID(int=2)], [])
    unknown = recall(called(*calls), 2, None)
    assert unknown == ended
    once = recall(called("1//llm/a", "1//tool/a!1"), 1, "1//tool/a")
    assert (once.replayed, once.in_doubt) == ([UUID(int=0)], [UUID(int=1)])


@pytest.mark.parametrize(
    ("status", "error", "afresh"),
    [
        (StepStatus.FAILED, {"code": "rate_limited", "call": "1//llm/0"}, False),
        (StepStatus.FAILED, {"code": "timeout"}, False),
        (StepStatus.FAILED, {"code": "answer_unusable"}, True),
        (StepStatus.FAILED, {"code": "child_failed"}, True),
        (StepStatus.CANCELLED, None, False),
    ],
)
def test_a_step_that_failed_by_itself_makes_its_calls_afresh(
    status: StepStatus, error: JsonObject | None, *, afresh: bool
) -> None:
    assert starts_afresh(status, error) is afresh
