"""What words are found by."""

# ruff: noqa: RUF001 - letters of other languages look like those of English

import pytest

from shared.knowledge.keywords.analysis import analyzer, contains
from shared.knowledge.keywords.languages import LANGUAGES
from shared.knowledge.passages import highlights


def found(text: str, query: str, language: str = "english") -> bool:
    """Whether each word of the query is in the text."""
    terms, _ = analyzer(language).count(text)
    asked = analyzer(language).ask(query)
    return bool(asked) and asked.keys() <= terms.keys()


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "The pilots boarded ships", "boarding ship pilot"),
        ("english", "ＡＢＣ ﬁle", "abc file"),
        ("english", "Order X-123/b is late", "x-123/b"),
        ("english", "Order X-123 is late", "123"),
        ("english", "see foo_bar at a.b@example.com", "foo_bar a.b@example.com"),
        ("english", "it costs 1,234.50", "1,234.50"),
        ("english", "naïve cafés", "naive cafe"),
        ("german", "Die Häuser der Straße", "haus STRASSE"),
        ("french", "à l'école", "ecole"),
        ("spanish", "¿Dónde están los archivos?", "archivo"),
        ("turkish", "ISPARTA'da", "ısparta"),
        ("chinese", "国家税务局规定如下", "税务局"),
        ("chinese", "国家税务局规定如下", "税"),
        ("japanese", "東京都の天気予報", "天気"),
        ("korean", "서울특별시의 날씨", "날씨"),
        ("thai", "ภาษาไทยง่าย", "ไทย"),
        ("hindi", "मेरी किताबें यहाँ हैं", "किताब"),
        ("arabic", "كِتَابٌ", "كتاب"),
        ("russian", "красивые дома", "красивый дом"),
        ("none", "exactly this", "exactly"),
    ],
)
def test_it_is_found(language: str, text: str, query: str) -> None:
    assert found(text, query, language)


@pytest.mark.parametrize(
    ("language", "text", "query"),
    [
        ("english", "Order X-124 is late, 123 others are not", "x-123"),
        ("none", "exactly this", "exact"),
        ("spanish", "el ano pasado", "año"),
        ("chinese", "务税局", "税务"),
    ],
)
def test_it_is_something_else(language: str, text: str, query: str) -> None:
    assert not found(text, query, language)


def test_stop_words_are_asked_for_only_when_there_is_nothing_else() -> None:
    assert dict(analyzer("english").ask("What is the harbour?")) == {"harbour": 1}
    assert dict(analyzer("english").ask("To be or not to be")) == {"to": 2, "be": 2, "or": 1, "not": 1}


def test_every_language_reads_every_script_and_long_words() -> None:
    text = "Ünïcödé 税务局 किताब ภาษา 서울 " + "x" * 10_000 + "-1" * 5_000
    for language in LANGUAGES:
        terms, length = analyzer(language).count(text)
        assert length > 10
        assert max(map(len, terms)) <= 64


def test_a_phrase_is_its_words_one_after_the_other() -> None:
    words = analyzer("english").plain("The pilot's Ladder: high-speed, 税务局规定.")
    for phrase, there in {
        "pilot's ladder": True,
        "high speed": True,
        "ladder pilot": False,
        "pilots": False,
        "务局规": True,
    }.items():
        assert contains(words, analyzer("english").plain(phrase)) is there, phrase


def test_the_words_of_a_question_are_pointed_at_in_all_their_forms() -> None:
    text = "Pilots board by a LADDER; the pilot's name. 国家税务局"
    asked = analyzer("english").ask("boarded pilot ladders, 税务局").keys()
    spans = [text[span.start : span.end] for span in highlights(text, "english", asked)]
    assert spans == ["Pilots", "board", "LADDER", "pilot's", "税务局"]
