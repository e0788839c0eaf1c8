"""Pages and sites made to do harm: a worker has other things to do than to look at them."""

import time

import pytest

from services.knowledge_base.web.addresses import name_of_page
from services.knowledge_base.web.answers import Page, page_of
from shared.net.fetch import Fetched
from tests.knowledge.support import Library

HALF = 3_000_000


def answered(body: bytes, kind: str = "text/html") -> Page | None:
    return page_of(Fetched("http://site.test/", 200, {"Content-Type": kind}, body), "http://site.test/")


@pytest.mark.parametrize(
    "body",
    [
        b"<input type=password>" + b"<title" * (HALF // 6),
        b"<input " * (HALF // 7),
        b"<input type" * (HALF // 11) + b" " * HALF,
        b"<input " * 70 + b"type" + b" " * HALF,
        b"<input type=password><title " + b" " * HALF,
    ],
    ids=["titles", "inputs", "types", "spaces", "one title"],
)
def test_half_tags_cost_no_more_than_whole_ones(body: bytes) -> None:
    began = time.process_time()
    assert answered(body) is not None
    assert time.process_time() - began < 3


@pytest.mark.parametrize("charset", ["punycode", "PUNYCODE", "idna", "unicode_escape", "undefined", "x" * 5000, "../a"])
def test_what_is_no_character_set_is_not_decoded(charset: str) -> None:
    body = b"a" * 400_000 + b"-" + b"a" * 400_000
    began = time.process_time()
    page = answered(body, f"text/plain; charset={charset}")
    assert page is not None
    assert page.body == body
    assert time.process_time() - began < 3


def test_character_sets_are() -> None:
    page = answered("Größe".encode("latin-1"), "text/plain; charset=ISO-8859-1")
    assert page is not None
    assert page.body == b"\xef\xbb\xbf" + "Größe".encode()


def test_login_pages_are_still_recognised() -> None:
    body = b"<title>Sign in</title><form><input class='x' name='p' type = 'password'></form>"
    with pytest.raises(Exception, match="logged in"):
        answered(body)


@pytest.mark.parametrize("path", ["a%00b", "a%0Ab", "%E2%80%AEgpj.exe", "?q=%00", "%00"])
async def test_a_page_is_named_by_what_can_be_seen(library: Library, path: str) -> None:
    base = await library.base()
    url = f"https://example.com/{path}"
    answer = await library.http.post(f"/api/v1/knowledge-bases/{base}/url-content", json={"urls": [url]})
    assert answer.status_code == 202, answer.text
    assert answer.json()["items"][0]["document"]["name"].isprintable()
    assert name_of_page(url).isprintable()
