"""How well a ranking of documents answers, by the measures of the retrieval literature. Nothing here knows a database.

A ranking holds each document once, best first; `grades` says of each judged document how relevant it is, 0 being not at
all. What is not judged counts as not relevant.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

D = TypeVar("D")


def dcg(gains: Sequence[float]) -> float:
    """Discounted cumulated gain: the sum of gain(i) / log2(i + 1) over the ranks i from 1.

    Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4), 2002; with the
    discount from the first rank on and the grade itself as gain, as trec_eval's `ndcg_cut` has it.
    """
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def ndcg(ranking: Sequence[D], grades: Mapping[D, int], depth: int) -> float:
    """DCG of the first `depth` ranks by that of the best order there could be; 0 to 1."""
    ideal = dcg(sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:depth])
    return dcg([grades.get(document, 0) for document in ranking[:depth]]) / ideal if ideal else 0.0


def recall(ranking: Sequence[D], grades: Mapping[D, int], depth: int) -> float:
    """The share of the relevant documents that stand in the first `depth` ranks.

    Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.3.
    """
    relevant = {document for document, grade in grades.items() if grade > 0}
    return len(relevant.intersection(ranking[:depth])) / len(relevant) if relevant else 0.0


def first_rank(ranking: Sequence[D], grades: Mapping[D, int]) -> int | None:
    """Where the first relevant document stands, counted from 1."""
    return next((rank for rank, document in enumerate(ranking, start=1) if grades.get(document, 0) > 0), None)


def reciprocal_rank(ranking: Sequence[D], grades: Mapping[D, int]) -> float:
    """1 by the rank of the first relevant document, 0 without one. Its mean over questions is MRR.

    Voorhees, "The TREC-8 question answering track report", 1999.
    """
    rank = first_rank(ranking, grades)
    return 1 / rank if rank else 0.0


def mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """Between the two nearest ranks, in proportion: definition 7 of Hyndman and Fan, "Sample quantiles in statistical
    packages", The American Statistician 50(4), 1996."""
    if not values:
        return None
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
