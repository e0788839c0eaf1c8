from services.orchestration.engine.plan import PlanCache
from shared.kit.json import JsonObject, canonical
from tests.engine.fakes import graph, transform


def numbered(n: int) -> JsonObject:
    return graph(transform("a", str(100 + n)))


SIZE = len(canonical(numbered(0)))


def test_the_same_graph_has_the_same_plan() -> None:
    cache = PlanCache()
    assert cache.plan_of(numbered(1)) is cache.plan_of(numbered(1))
    assert cache.plan_of(numbered(1)) is not cache.plan_of(numbered(2))


def test_those_least_used_are_forgotten() -> None:
    cache = PlanCache(2 * SIZE)
    one, two = cache.plan_of(numbered(1)), cache.plan_of(numbered(2))
    assert cache.plan_of(numbered(1)) is one
    cache.plan_of(numbered(3))
    assert cache.plan_of(numbered(1)) is one
    assert cache.plan_of(numbered(2)) is not two


def test_what_is_larger_than_all_room_is_not_kept() -> None:
    cache = PlanCache(SIZE - 1)
    assert cache.plan_of(numbered(1)) is not cache.plan_of(numbered(1))
    assert cache.plan_of(numbered(1)).nodes[0].id == "a"
