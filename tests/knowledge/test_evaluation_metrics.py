"""The measures, against values worked out by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.knowledge_base.evaluation import metrics

GRADES = {"a": 3, "b": 2, "c": 1, "x": 0}


def test_dcg_of_the_example_in_the_literature() -> None:
    """Järvelin and Kekäläinen's G' = <3, 2, 3, 0, 0, 1, 2, 2, 3, 0>, here with the discount from the first rank on."""
    gains = [3, 2, 3, 0, 0, 1, 2, 2, 3, 0]
    by_hand = 3 + 2 / 1.584963 + 3 / 2 + 0 + 0 + 1 / 2.807355 + 2 / 3 + 2 / 3.169925 + 3 / 3.321928 + 0
    assert metrics.dcg(gains) == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize(
    ("ranking", "depth", "expected"),
    [
        (["a", "b", "c"], 10, 1.0),
        (["x", "y", "z"], 10, 0.0),
        ([], 10, 0.0),
        # (2/1 + 3/log2(3)) / (3/1 + 2/log2(3) + 1/log2(4))
        (["b", "a"], 10, (2 + 3 / 1.5849625) / (3 + 2 / 1.5849625 + 0.5)),
        # Cut at one, the best there could be is the grade 3 alone.
        (["b", "a"], 1, 2 / 3),
        (["x", "c"], 2, (1 / 1.5849625) / (3 + 2 / 1.5849625)),
    ],
)
def test_ndcg(ranking: list[str], depth: int, expected: float) -> None:
    assert metrics.ndcg(ranking, GRADES, depth) == pytest.approx(expected)


def test_recall_counts_relevant_documents_within_the_depth() -> None:
    assert metrics.recall(["a", "x", "b", "c"], GRADES, 3) == pytest.approx(2 / 3)
    assert metrics.recall(["x"], GRADES, 3) == 0
    assert metrics.recall(["c", "b", "a"], GRADES, 3) == 1
    assert metrics.recall(["a"], {"a": 0}, 3) == 0


def test_reciprocal_rank_is_of_the_first_relevant_document() -> None:
    assert metrics.reciprocal_rank(["x", "y", "c", "a"], GRADES) == pytest.approx(1 / 3)
    assert metrics.first_rank(["x", "y", "c", "a"], GRADES) == 3
    assert metrics.reciprocal_rank(["x"], GRADES) == 0
    assert metrics.first_rank(["x"], GRADES) is None


def test_means_and_percentiles() -> None:
    assert metrics.mean([1, 0, 0.5]) == 0.5
    assert metrics.mean([]) is None
    assert metrics.percentile([], 0.5) is None
    assert metrics.percentile([7], 0.95) == 7
    assert metrics.percentile([4, 1, 3, 2], 0.5) == 2.5
    assert metrics.percentile(list(range(1, 101)), 0.95) == pytest.approx(95.05)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12), st.randoms(use_true_random=False), st.integers(1, 12))
def test_no_order_is_better_than_the_best(grades: list[int], shuffled: object, depth: int) -> None:
    judged = dict(enumerate(grades))
    ranking = list(judged)
    shuffled.shuffle(ranking)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType] - a Random
    best = sorted(judged, key=lambda one: -judged[one])
    value = metrics.ndcg(ranking, judged, depth)
    assert 0 <= value <= metrics.ndcg(best, judged, depth) + 1e-12
    assert metrics.ndcg(best, judged, depth) == (pytest.approx(1) if any(grades) else 0)
    assert not math.isnan(value)
