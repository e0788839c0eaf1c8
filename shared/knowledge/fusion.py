"""One order out of two: by meaning and by words.

Both scores are shares of the best there could be, 0 is nothing in common, and neither depends on what else was found.
So their mean is such a share too, and a passage that is far ahead by one of them stays ahead, which an order of ranks
forgets. The two weigh the same: to weigh them better one would have to know the questions.
"""

from collections.abc import Mapping
from uuid import UUID

_VECTOR_SHARE = 0.5


def fuse(cosines: Mapping[UUID, float], words: Mapping[UUID, float]) -> dict[UUID, float]:
    return {
        chunk_id: _VECTOR_SHARE * cosines.get(chunk_id, 0.0) + (1 - _VECTOR_SHARE) * words.get(chunk_id, 0.0)
        for chunk_id in {*cosines, *words}
    }
