"""Web pages, books, rich text and Markdown: what is read of them, and where its headings and tables stand."""

import io
import zipfile

import pytest

from services.knowledge_base.ingestion.extract import read
from services.knowledge_base.ingestion.extract.model import (
    ContentLimits,
    DocumentFormat,
    Extracted,
    ExtractionCode,
    ExtractionError,
    Source,
)


def read_as(data: bytes | str, name: str, *, web: bool = False) -> Extracted:
    data = data.encode() if isinstance(data, str) else data
    return read(Source(io.BytesIO(data), name, web=web), ContentLimits())


def page(body: str, head: str = "") -> str:
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>"


def tables(found: Extracted) -> list[tuple[str, str]]:
    """Head and rows of each."""
    return [
        (found.text[one.start : one.header_end].rstrip("\n"), found.text[one.header_end : one.end])
        for one in found.tables
    ]


def headings(found: Extracted) -> list[tuple[int, str]]:
    for heading in found.headings:
        assert found.text[heading.start :].startswith(heading.title)
    return [(heading.level, heading.title) for heading in found.headings]


def test_a_page_keeps_its_structure() -> None:
    found = read_as(
        page(
            "<h1>Top <em>of</em> it</h1><p>One &amp; two<br>three <img alt='a cat'></p>loose<p>tight</p>"
            "<ol start=4><li>four<ul><li>deeper</ul><li>five</ol><h2>Code</h2><pre>if x:\n    # no heading\n</pre>",
            "<title>The  title</title><meta name='date' content='2024-02-03'>",
        ),
        "a.html",
    )
    assert found.format is DocumentFormat.HTML
    assert (found.title, found.dated_at) == ("The title", "2024-02-03T00:00:00Z")
    assert headings(found) == [(1, "Top of it"), (2, "Code")]
    assert "One & two\nthree a cat\n\nloose\n\ntight" in found.text
    assert "4. four\n  - deeper\n5. five" in found.text
    assert found.text.endswith("if x:\n    # no heading")


def test_what_is_not_seen_is_not_read() -> None:
    body = "<p>seen</p>" + "".join(
        (
            "<script>var a</script>", "<style>b{}</style>", "<template>c</template>", "<p hidden>d</p>",
            "<div style='display: none'>e<p>f</p></div>", "<span style='visibility:hidden'>g</span>",
            "<!-- h -->", "<svg><title>i</title></svg>", "<noscript>j</noscript>",
        )
    )  # fmt: skip
    assert read_as(page(body + "<p>too</p>"), "a.html").text == "seen\n\ntoo"


def test_tables_of_data_become_rows() -> None:
    found = read_as(
        page(
            "<table><caption>Prices</caption><tr><th rowspan=2>Fruit<th colspan=2>Euro<tr><th>net<th>gross"
            "<tr><td rowspan=2>Apple|Pear<td>1<td>2<tr><td>3<td>4<tr><td colspan=3>in<br>all</table>"
            "<table><tr><td>a<td>b<tr><td>c<td>d</table>"
        ),
        "a.html",
    )
    assert tables(found) == [
        (
            "| Fruit | Euro net | Euro gross |\n| --- | --- | --- |",
            "| Apple\\|Pear | 1 | 2 |\n| Apple\\|Pear | 3 | 4 |\n| in all |  |  |",
        ),
        ("", "| a | b |\n| c | d |"),
    ]
    assert found.text.startswith("Prices\n\n| Fruit")


def test_tables_that_arrange_a_page_are_none() -> None:
    found = read_as(
        page("<table><tr><td><h1>Letter</h1><table><tr><th>a<th>b<tr><td>1<td>2</table><td>side</table>"), "a.html"
    )
    assert headings(found) == [(1, "Letter")]
    assert tables(found) == [("| a | b |\n| --- | --- |", "| 1 | 2 |")]
    assert found.text.endswith("\n\nside")


@pytest.mark.parametrize(
    ("encoding", "head"),
    [
        ("cp1252", '<meta charset="iso-8859-1">'),
        ("utf-8", '<meta charset="iso-8859-1">'),  # who says so is wrong
        ("cp1251", "<meta http-equiv=Content-Type content='text/html; charset=windows-1251'>"),
        ("shift_jis", "<meta charset=Shift_JIS>"),
        ("utf-16", ""),
        ("koi8_r", ""),
        ("gb18030", "<meta charset='gb2312'>"),
    ],
)
def test_pages_are_read_in_their_encoding(encoding: str, head: str) -> None:
    text = {
        "cp1251": "Широкая электрификация южных губерний даст мощный толчок",
        "koi8_r": "Широкая электрификация южных губерний даст мощный толчок",
        "shift_jis": "すべての人間は、生まれながらにして自由である",
        "gb18030": "人人生而自由,在尊严和权利上一律平等",
    }.get(encoding, "Füße \u2013 “Größe” für 3 €")
    assert read_as(page(f"<p>{text}</p>", head).encode(encoding), "a.html").text == text


def test_of_a_page_in_the_web_its_main_content_is_read() -> None:
    words = "The orchard has three hundred trees, and each of them bears fruit in the autumn of every year. " * 4
    body = (
        "<nav><a href='/'>Home</a> <a href='/shop'>Shop</a></nav><h1>Orchards</h1><article>"
        f"<p>{words}</p><h2>Prices</h2><table><tr><th>Fruit<th>Euro<tr><td>Apple<td>3</table><p>{words}</p></article>"
        "<footer>Imprint and cookies</footer>"
    )
    whole, main = (read_as(page(body), "a.html", web=web) for web in (False, True))
    assert "Imprint" in whole.text
    assert "Imprint" not in main.text
    assert "Shop" not in main.text
    assert (1, "Orchards") in headings(main)
    assert (2, "Prices") in headings(main)
    assert tables(main) == [("| Fruit | Euro |\n| --- | --- |", "| Apple | 3 |")]


def test_what_a_page_calls_its_main_content_is_not_lost() -> None:
    words = "Each method is explained at length, so that there is something to be read about it. " * 3
    methods = "".join(
        f"<details><summary><section><h4>fn number_{n}(&self)</h4></section></summary><div><p>{words if n < 2 else n}"
        f"<div class=example><pre>let {'long_name_' * 20}{n} = {n};</pre></div></div></details>"
        for n in range(20)
    )
    listing = "<figure><figcaption>Listing one</figcaption><pre>fn main() {}\n// end</pre></figure>"
    main = read_as(
        page(f"<nav>Menu</nav><main><h1>List</h1>{listing}{methods}<aside>Ads</aside></main>"), "a.html", web=True
    )
    for content in ("Listing one", "fn main() {}\n// end", "fn number_19(&self)", "_19 = 19;"):
        assert content in main.text
    assert "Menu" not in main.text
    assert "Ads" not in main.text


def test_a_page_where_nothing_stands_out_is_read_whole() -> None:
    assert read_as(page("<div>Open from 9 to 5</div>"), "a.html", web=True).text == "Open from 9 to 5"


def test_pages_may_nest_deeply() -> None:
    deep = page("<div>" * 1500 + "inmost" + "</div>" * 1500 + "<p>after</p>")
    assert read_as(deep, "a.html").text == "inmost\n\nafter"


def book(**parts: str) -> bytes:
    container = "<container><rootfiles><rootfile full-path='in/book.opf'/></rootfiles></container>"
    package = (
        "<package xmlns='http://www.idpf.org/2007/opf' xmlns:dc='http://purl.org/dc/elements/1.1/'><metadata>"
        "<dc:title>A book</dc:title><dc:date>1999-05-06</dc:date></metadata><manifest>"
        "<item id='b' href='b%20b.xhtml' media-type='application/xhtml+xml'/>"
        "<item id='a' href='a.xhtml' media-type='application/xhtml+xml'/></manifest>"
        "<spine><itemref idref='b'/><itemref idref='a'/></spine></package>"
    )
    chapters = {
        "in/a.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'><head><title/></head><body><h2>Last&nbsp;one</h2>"
        "<p>the end</p></body></html>",
        "in/b b.xhtml": "<html><body><h1>First</h1><p>broken <b>markup</p></body></html>",
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        for name, text in {"META-INF/container.xml": container, "in/book.opf": package, **chapters, **parts}.items():
            archive.writestr(name, text)
    return file.getvalue()


def test_a_book_is_read_in_its_order() -> None:
    found = read_as(book(), "a.epub")
    assert (found.format, found.title, found.dated_at) == (DocumentFormat.EPUB, "A book", "1999-05-06T00:00:00Z")
    assert headings(found) == [(1, "First"), (2, "Last one")]
    assert found.text.split("\n\n") == ["First", "broken markup", "Last one", "the end"]


def test_a_book_that_is_protected_says_so() -> None:
    protection = "<encryption><EncryptedData><EncryptionMethod Algorithm='{}'/><CipherData><CipherReference URI='{}'/>"
    end = "</CipherData></EncryptedData></encryption>"
    aes = protection.format("http://www.w3.org/2001/04/xmlenc#aes128-cbc", "in/a.xhtml") + end
    with pytest.raises(ExtractionError) as caught:
        read_as(book(**{"META-INF/encryption.xml": aes}), "a.epub")
    assert caught.value.code is ExtractionCode.ENCRYPTED
    font = protection.format("http://www.idpf.org/2008/embedding", "in/x.otf") + end
    assert "the end" in read_as(book(**{"META-INF/encryption.xml": font}), "a.epub").text


def test_a_book_does_not_read_other_files() -> None:
    evil = "<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><html><body><p>here &e; there</p></body></html>"
    text = read_as(book(**{"in/a.xhtml": evil}), "a.epub").text
    assert "root:" not in text
    assert "here" in text


RICH = rb"""{\rtf1\ansi\ansicpg1251{\info{\title \'cf\'f0\'e8\'e2\'e5\'f2}}{\stylesheet{\s0 Normal;}{\s5 heading 2;}}
{\pict 0123456789abcdef0123456789abcdef}\pard\plain\s5 Chapter\par
\pard\plain\'cf\'f0\'e8\'e2\'e5\'f2, \u8364?\par
\trowd\cellx100\cellx200\intbl Fruit\cell Price\cell\row
\intbl Apple\cell 3\cell\row
\pard after\par {\*\bkmkstart hidden}}"""


def test_rich_text_keeps_headings_and_tables() -> None:
    found = read_as(RICH, "a.rtf")
    assert (found.format, found.title) == (DocumentFormat.RTF, "Привет")
    assert headings(found) == [(2, "Chapter")]
    assert "Привет, €" in found.text
    assert tables(found) == [("| Fruit | Price |\n| --- | --- |", "| Apple | 3 |")]
    assert found.text.endswith("after")
    assert "hidden" not in found.text


def test_tables_of_markdown_are_recorded() -> None:
    found = read_as(
        "# A\n\na | b\n--|:-:\n1 | 2\n3 \\| 4 | 5\n\n```\n# no\n| x | y |\n|---|---|\n```\nno | table\n", "a.md"
    )
    assert tables(found) == [("a | b\n--|:-:", "1 | 2\n3 \\| 4 | 5")]
    assert [(heading.level, heading.title, heading.start) for heading in found.headings] == [(1, "A", 0)]


@pytest.mark.parametrize(
    ("text", "encodings"),
    [
        ("Широкая электрификация южных губерний даст мощный толчок", ("koi8_r", "cp1251", "cp866", "utf-16-le")),
        ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다", ("euc_kr", "utf-16-be")),
        ("人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心", ("big5", "utf-16")),
        ("人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心", ("gb18030", "hz")),
        ("すべての人間は、生まれながらにして自由である。", ("shift_jis", "euc_jp", "iso2022_jp", "utf-16-le")),
        ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία", ("cp1253",)),
        ("Wszyscy ludzie rodzą się wolni i równi pod względem swej godności", ("cp1250", "iso8859_2")),
        ("Bütün insanlar hür, haysiyet ve haklar bak\u0131m\u0131ndan eşit doğarlar", ("cp1254",)),
        ("Tous les êtres humains naissent libres et égaux \u2013 5 €", ("cp1252",)),
    ],
)
def test_texts_without_a_mark_are_read_in_their_encoding(text: str, encodings: tuple[str, ...]) -> None:
    for encoding in encodings:
        assert read_as(text.encode(encoding), "a.txt").text == text, encoding
