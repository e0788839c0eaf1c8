"""From text to the terms that are indexed and asked for, by the language it is mostly written in.

A word is put into one form (NFKC, case folded), stemmed, and rid of accents that its language does not count as letters
of their own. Identifiers are terms whole and in parts, so that `x-123` is found by either. What is written without
spaces is cut into single characters and pairs. Stop words are indexed, and left out of questions that have other words.
"""

import re
import sys
import threading
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from shared.knowledge.keywords.languages import STEMMED, stop_words

_LONGEST_PART = 64
_LONGEST_WHOLE = 128
# Words are analysed once and remembered, the short ones, so many in each thread.
_REMEMBERED = 50_000
_REMEMBERED_LENGTH = 40

_JOINERS = "-_./:@+'\u2019"
_SPLIT = re.compile(rf"[{_JOINERS},]")
# Parts joined by these are one identifier; by the others only if there is a digit in it.
_IDENTIFYING = frozenset("_.@:")

_UNSPACED = (
    "\u0e00-\u0eff"  # Thai, Lao
    "\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"  # Han, narrow kana
    "\u1100-\u11ff\uac00-\ud7af"  # Hangul
    "\U00020000-\U0003ffff"
)
_UNSPACED_RUN = re.compile(f"([{_UNSPACED}]+)")
_LATIN_OR_GREEK = re.compile("[a-zͰ-Ͽἀ-῿]")
_ACCENT = re.compile("[\u0300-\u036f]")
_VOWEL_SIGNS = re.compile("[\u0591-\u05c7\u064b-\u0652\u0670\u0640]")  # of Hebrew and Arabic, mostly not written
# Accents that make another letter.
_OWN_LETTERS = {
    "swedish": "åäö",
    "finnish": "åäö",
    "danish": "æøå",
    "norwegian": "æøå",
    "estonian": "õäöü",
    "turkish": "çğıöşü",
    "spanish": "ñ",
}
_TURKISH = str.maketrans({"I": "\u0131", "İ": "i"})


@dataclass(frozen=True, slots=True)
class _Analysed:
    """`length` is how many words it counts as; `asked` are the terms of it that a question has."""

    terms: tuple[str, ...]
    length: int
    asked: tuple[str, ...]
    stops: bool


class Analyzer:
    """For one thread; see `analyzer`."""

    def __init__(self, language: str) -> None:
        self._stem = _stemmer(language)
        self._language = language
        self._stops = stop_words(language)
        self._own = frozenset(_OWN_LETTERS.get(language, ""))
        self._known: dict[str, _Analysed] = {}

    def count(self, text: str) -> tuple[dict[str, int], int]:
        """How often each term is there, and how many words there are."""
        found: dict[str, int] = {}
        length = 0
        for word, times in Counter(_words().findall(text)).items():
            analysed = self._analyse(word)
            length += analysed.length * times
            for term in analysed.terms:
                found[term] = found.get(term, 0) + times
        return found, length

    def ask(self, query: str) -> dict[str, int]:
        """The terms of a question and how often it has them; stop words only if there is nothing else."""
        words = [self._analyse(word) for word in _words().findall(query)]
        telling = [word for word in words if not word.stops] or words
        return Counter(term for word in telling for term in word.asked)

    def places(self, text: str, asked: Set[str]) -> Iterator[tuple[int, int]]:
        """From where to where there are words with one of these terms."""
        known = self._known.get
        for match in _words().finditer(text):
            word = match.group()
            if word.isascii() or not _UNSPACED_RUN.search(word):
                if not asked.isdisjoint((known(word) or self._analyse(word)).terms):
                    yield match.span()
                continue
            for run in re.finditer(f"{_UNSPACED_RUN.pattern}|[^{_UNSPACED}]+", word):
                for start, end, terms in self._within(match.start() + run.start(), run.group()):
                    if not asked.isdisjoint(terms):
                        yield start, end

    def _within(self, start: int, run: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Each pair is a word in what has no spaces."""
        if not _UNSPACED_RUN.match(run):
            yield start, start + len(run), self._analyse(run).terms
            return
        if len(run) == 1:
            yield start, start + 1, (self._normal(run),)
        for n in range(len(run) - 1):
            yield start + n, start + n + 2, (self._normal(run[n : n + 2]),)

    def plain(self, text: str) -> list[str]:
        """Its words in one form, not stemmed, single characters where there are no spaces: to find phrases by."""
        parts = (part for word in _words().findall(text) for part in _SPLIT.split(self._normal(word)))
        return [
            one
            for part in parts
            for run, unspaced in _runs(part)
            for one in (run if unspaced else (self._fold(run),))
            if one
        ]

    def _analyse(self, word: str) -> _Analysed:
        known = self._known.get(word)
        if known is not None:
            return known
        analysed = self._look_at(word)
        if len(word) <= _REMEMBERED_LENGTH:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[word] = analysed
        return analysed

    def _look_at(self, word: str) -> _Analysed:
        normal = self._normal(word)
        parts = [part for part in _SPLIT.split(normal) if part]
        terms: list[str] = []
        asked: list[str] = []
        length = 0
        for part in parts:
            for run, unspaced in _runs(part):
                indexed = _pairs(run) if unspaced else [self._term(run)]
                terms += indexed
                asked += (indexed[len(run) :] or indexed) if unspaced else indexed
                length += len(run) if unspaced else 1
        if len(parts) > 1 and len(normal) <= _LONGEST_WHOLE and _identifies(normal):
            terms.append(normal)
            asked.append(normal)
        return _Analysed(tuple(terms), length, tuple(asked), all(part in self._stops for part in parts))

    def _normal(self, word: str) -> str:
        if self._language == "turkish":
            word = word.translate(_TURKISH)
        folded = word.lower() if word.isascii() else unicodedata.normalize("NFKC", word).casefold()
        return folded.replace("\u2019", "'")

    def _term(self, part: str) -> str:
        part = part[:_LONGEST_PART]
        if not part.isascii():
            part = _VOWEL_SIGNS.sub("", part) or part
        if not any(character.isdigit() for character in part):
            part = self._stem(part) or part
        return sys.intern(part if part.isascii() else self._fold(part))

    def _fold(self, part: str) -> str:
        return "".join(c if c in self._own else _without_accent(c) for c in part)


def _stemmer(language: str) -> Callable[[str], str]:
    if language not in STEMMED:
        return str
    stemmer: Any = import_module("Stemmer")  # without types, and only for those who search or ingest
    return stemmer.Stemmer(language).stemWord


_of_thread = threading.local()


def analyzer(language: str) -> Analyzer:
    """This thread's: stemmers cannot be shared."""
    known: dict[str, Analyzer] = _of_thread.__dict__.setdefault("analyzers", {})
    found = known.get(language)
    if found is None:
        found = known[language] = Analyzer(language)
    return found


@cache
def _words() -> re.Pattern[str]:
    """Letters, digits and the marks that belong to them, joined by single signs. `\\w` alone breaks words of many
    scripts at their vowels."""
    marks = "".join(chr(n) for n in range(0x300, 0x10000) if unicodedata.category(chr(n)) in ("Mn", "Mc"))
    part = rf"(?:[^\W_]++|[{re.escape(marks)}\u200c\u200d]++)++"
    return re.compile(rf"{part}(?:(?:[{_JOINERS}]|(?<=\d),(?=\d)){part})*")


def _runs(part: str) -> Iterable[tuple[str, bool]]:
    if part.isascii():
        return [(part, False)]
    return [(run, n % 2 == 1) for n, run in enumerate(_UNSPACED_RUN.split(part)) if run]


def _pairs(run: str) -> list[str]:
    """The characters, then the pairs."""
    return [*run, *(run[n : n + 2] for n in range(len(run) - 1))]


def _identifies(normal: str) -> bool:
    return any(character.isdigit() or character in _IDENTIFYING for character in normal)


@cache
def _without_accent(character: str) -> str:
    bare = unicodedata.normalize("NFD", character)
    if len(bare) > 1 and _LATIN_OR_GREEK.match(bare):
        return _ACCENT.sub("", bare) or character
    return {"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "\u0131": "i", "ð": "d", "þ": "th"}.get(
        character, character
    )


def in_a_row(words: Sequence[str]) -> str:
    """As one text in which that of a phrase is found if its words stand there one after the other."""
    return "".join(("\n", *(f"{word}\n" for word in words)))


def contains(words: Sequence[str], phrase: Sequence[str]) -> bool:
    """Whether the phrase's words stand there one after the other."""
    return in_a_row(phrase) in in_a_row(words)
