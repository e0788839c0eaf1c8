"""The numbers by which agents cite passages, and what they stand for.

Within one step a number stands for one passage, whichever agent found it. Agents may work side by side, so each
piece of such work counts on from where the work that it belongs to stood when it began, and is renumbered when it is
handed back, in the order in which it was asked for: a replay gives the same numbers.
"""

import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from services.orchestration.engine.codec import read_passages
from services.orchestration.engine.passages import MARK, written
from services.orchestration.engine.ports import Citation, Passage
from shared.kit.json import loads

_NUMBER = re.compile(r"\d+")
_HOW_TO_CITE = (
    "Passages, best first. Cite each one you use by its number, like [{number}]. "
    "If they do not answer the question, say that the answer is not in the documents."
)
_NOTHING = (
    "Nothing was found. Try other words. If nothing is found again, say that the answer is not in the documents, and "
    "do not answer from memory."
)

_current: ContextVar["Citations | None"] = ContextVar("citations", default=None)


class Citations:
    def __init__(self, passages: Iterable[Passage] = ()) -> None:
        self._passages = list(passages)
        self._begun = len(self._passages)
        self._numbers = {_identity(passage): number for number, passage in enumerate(self._passages, start=1)}

    @classmethod
    def current(cls) -> "Citations":
        """Those of the work at hand."""
        return _current.get() or cls()

    @contextmanager
    def applied(self) -> Generator[None]:
        """Makes them those of the work within; it follows the asyncio task."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def branch(self) -> "Citations":
        """For work whose result comes back to `merge`."""
        return Citations(self._passages)

    def merge(self, branch: "Citations", text: str) -> str:
        """What the work has found is known here; returns its text with the numbers that it has here."""
        found = enumerate(branch._passages[branch._begun :], start=branch._begun + 1)
        return _renumbered(text, {number: self.number(passage) for number, passage in found})

    def number(self, passage: Passage) -> int:
        number = self._numbers.setdefault(_identity(passage), len(self._passages) + 1)
        if number > len(self._passages):
            self._passages.append(passage)
        return number

    def shown(self, answer: str) -> str:
        """A search's answer as a model reads it. One that is no list of passages is passed on as it is."""
        found = _passages_in(answer)
        if found is None:
            return answer
        if not found:
            return _NOTHING
        numbers = [(self.number(passage), passage) for passage in found]
        return f"{_HOW_TO_CITE.format(number=numbers[0][0])}\n\n{written(numbers)}"

    def cited_in(self, texts: Iterable[str]) -> tuple[Citation, ...]:
        """What the numbers in these texts stand for; numbers that were never given stand for nothing."""
        numbers = {int(number) for text in texts for marks in MARK.findall(text) for number in _NUMBER.findall(marks)}
        return tuple(
            Citation(number, passage) for number, passage in enumerate(self._passages, start=1) if number in numbers
        )


def _renumbered(text: str, moved: dict[int, int]) -> str:
    if all(old == new for old, new in moved.items()):
        return text

    def move(match: re.Match[str]) -> str:
        numbers = _NUMBER.sub(lambda number: str(moved.get(int(number[0]), int(number[0]))), match[1])
        return f"[{numbers}]"

    return MARK.sub(move, text)


def _identity(passage: Passage) -> tuple[Any, ...]:
    return passage.document_id, passage.start, passage.end, passage.text


def _passages_in(answer: str) -> list[Passage] | None:
    """An answer on record may be one of an older release, or have been given by a person: then it is words."""
    try:
        value: Any = loads(answer)
        return read_passages(value["passages"])
    except (ValueError, TypeError, KeyError):
        return None
