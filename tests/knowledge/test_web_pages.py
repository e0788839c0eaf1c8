"""Pages in the web as documents: fetched as their sites allow, fetched again when they are due, never from inside."""

import asyncio
from collections.abc import AsyncGenerator
from itertools import pairwise
from typing import Any

import httpx
import pytest

from services.knowledge_base.web import fetch, refresh
from services.knowledge_base.web.robots import Robots
from shared.kit.settings import Settings
from tests.fakes.web_site import WebSite, web_site
from tests.knowledge.files import pdf
from tests.knowledge.support import Library
from tests.support.platform import Account, Platform, open_platform

ARTICLE = """<!doctype html><html><head><title>{title}</title>
<meta property="article:published_time" content="2024-05-06T07:08:09Z"></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/imprint">Imprint of the company</a></li></ul></nav>
<main><article><h1>{title}</h1><p>{text}</p>
<p>The second paragraph says some more about it, so that this page has a content that stands out among its menus.</p>
<h2>Prices</h2><table><tr><th>Fruit</th><th>Euro</th></tr><tr><td>Apple</td><td>3</td></tr></table>
</article></main><footer>All rights reserved by nobody in particular</footer></body></html>"""


@pytest.fixture(scope="module")
async def open_site() -> AsyncGenerator[WebSite]:
    async with web_site() as site:
        yield site


@pytest.fixture
def site(open_site: WebSite, monkeypatch: pytest.MonkeyPatch) -> WebSite:
    open_site.reset()
    monkeypatch.setattr(fetch, "_robots", Robots())
    monkeypatch.setattr(fetch, "_PAUSES", (0.01, 0.01))
    return open_site


@pytest.fixture(scope="module")
def settings(settings: Settings, open_site: WebSite) -> Settings:
    """With the site as the one place inside that may be reached."""
    return settings.model_copy(update={"allowed_hosts": open_site.place})


@pytest.fixture(scope="module")
async def platform(settings: Settings) -> AsyncGenerator[Platform]:
    async with open_platform(settings) as opened:
        yield opened


def article(title: str = "Orchards", text: str = "Apples are picked in autumn by people on ladders.") -> str:
    return ARTICLE.format(title=title, text=text)


async def post(library: Library, base: str, *urls: str, key: str | None = None, **fields: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"urls": list(urls), **fields}
    return await library.http.post(f"/api/v1/knowledge-bases/{base}/url-content", json=body, headers=headers)


async def add(library: Library, base: str, url: str, **fields: Any) -> dict[str, Any]:
    """The document when it is ready or failed."""
    answer = await post(library, base, url, **fields)
    assert answer.status_code == 202, answer.text
    return await library.processed(answer.json()["items"][0]["document"]["id"])


async def due(library: Library, document: str) -> None:
    await _sql(library, "UPDATE documents SET refresh_at = now() - interval '3 days' WHERE id = :id", id=document)


async def _sql(library: Library, statement: str, **parameters: Any) -> None:
    from sqlalchemy import text  # noqa: PLC0415

    async with library.platform.resources.database.write(library.scope) as session:
        await session.execute(text(statement), parameters)


async def refreshed(library: Library, document: str) -> dict[str, Any]:
    await due(library, document)
    assert await refresh.sweep(library.platform.resources) == 1
    return await library.processed(document)


async def test_a_page_is_found_by_what_it_is_about(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    found = await add(library, base, site.put("/fruit/orchards", article()), tags=["fruit"])
    assert (found["status"], found["error"]) == ("ready", None)
    assert (found["source"], found["title"], found["version"]) == ("url", "Orchards", 1)
    assert (found["url"], found["tags"]) == (site.url("/fruit/orchards"), ["fruit"])
    assert found["dated_at"].startswith("2024-05-06T07:08:09")
    assert found["name"].endswith("/fruit/orchards")
    passages = await library.ask("When are apples picked?", base)
    assert "picked in autumn" in passages[0]["text"]
    text = " ".join(passage["text"] for passage in passages)
    assert "Imprint" not in text
    assert "rights reserved" not in text
    assert "| Apple | 3 |" in text
    assert site.visits == [("/robots.txt", 404), ("/fruit/orchards", 200)]
    assert all(agent.startswith("Quarterdeck") for agent in site.agents)


async def test_a_file_at_an_address_is_what_it_is(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    body = pdf("Pears ripen in the cellar.")
    found = await add(library, base, site.put("/download", body, kind="application/octet-stream"))
    assert (found["status"], found["media_type"]) == ("ready", "application/pdf")


async def test_robots_are_heeded(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    site.put("/robots.txt", "User-agent: *\nDisallow: /private\n\nUser-agent: other\nDisallow: /", kind="text/plain")
    site.put("/moved", moved="/private/page")
    for path in ("/private/page", "/moved"):
        site.put("/private/page", article())
        found = await add(library, base, site.url(path))
        assert found["error"]["code"] == "robots_disallowed", found
    assert site.visits_of("/private/page") == []
    assert (await add(library, base, site.put("/public", article())))["status"] == "ready"


async def test_a_site_is_asked_as_slowly_as_it_wants(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    site.put("/robots.txt", "User-agent: *\nCrawl-delay: 0.5", kind="text/plain")
    answer = await post(library, base, *(site.put(f"/{number}", article(f"Page {number}")) for number in range(4)))
    for item in answer.json()["items"]:
        assert (await library.processed(item["document"]["id"]))["status"] == "ready"
    asked = [moment for (path, _), moment in zip(site.visits, site.moments, strict=True) if path != "/robots.txt"]
    assert len(asked) == 4
    assert all(later - earlier > 0.4 for earlier, later in pairwise(asked))


async def test_a_site_whose_robots_cannot_be_read_is_left_alone(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    site.put("/robots.txt", "no", status=503)
    found = await add(library, base, site.put("/page", article()))
    assert found["error"]["code"] == "robots_unavailable"
    assert site.visits_of("/page") == []
    assert len(site.visits_of("/robots.txt")) == 3


@pytest.mark.parametrize(
    ("page", "code", "visits"),
    [
        ({"status": 404}, "page_not_found", 1),
        ({"status": 410}, "page_not_found", 1),
        ({"status": 403}, "page_forbidden", 1),
        ({"status": 500}, "page_unavailable", 3),
        ({"status": 418}, "page_refused", 1),
        ({"status": 304}, "page_refused", 1),
        ({"body": b"  \n"}, "page_empty", 1),
        ({"body": b"x" * 3_000_000, "kind": "text/plain"}, "page_too_large", 1),
        ({"body": article(), "seconds": 30}, "page_unavailable", 3),
        (
            {"body": "<title>Sign in</title><form><input name=u><input type='password' name=p></form>"},
            "page_needs_login",
            1,
        ),
        ({"moved": "http://10.0.0.1/"}, "page_redirected", 1),
        ({"body": b"\x7fELF\x02\x01\x01\x00" * 10, "kind": "text/html"}, "document_type_unsupported", 1),
    ],
)
async def test_what_cannot_be_had_says_why(
    library: Library,
    worker: None,
    site: WebSite,
    monkeypatch: pytest.MonkeyPatch,
    page: dict[str, Any],
    code: str,
    visits: int,
) -> None:
    monkeypatch.setattr(fetch, "_LARGEST", 1_000_000)
    monkeypatch.setattr(fetch, "_SECONDS", 1.0)
    base = await library.base()
    found = await add(library, base, site.put("/page", **page))
    assert (found["status"], found["error"]["code"], found["searchable"]) == ("failed", code, False)
    assert found["error"]["message"].endswith(".")
    assert len(site.visits_of("/page")) == visits
    assert await library.sql("SELECT 1 FROM document_versions") == []


async def test_nothing_inside_is_reached(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    async with web_site() as inside:
        secret = inside.put("/secret", article(text="The vault opens with a smile."))
        addresses = (
            secret,
            "http://169.254.169.254/latest",
            "http://[::1]:80/",
            "file:///etc/passwd",
            "http://2130706433/",
        )
        answer = await post(library, base, *addresses)
        assert answer.status_code == 422
        assert {detail["code"] for detail in answer.json()["error"]["details"]} == {"url_refused"}
        found = await add(library, base, site.put("/to", moved=secret))
        assert found["error"]["code"] == "page_redirected"
        assert inside.visits == []
    assert await library.sql("SELECT 1 FROM document_versions") == []
    assert len(await library.documents(base)) == 1


async def test_a_page_is_taken_once(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    url = site.put("/page", article())
    first, again = await asyncio.gather(post(library, base, url), post(library, base, f"{url}#part"))
    items = [answer.json()["items"][0] for answer in (first, again)]
    assert sorted(item["status"] for item in items) == ["accepted", "duplicate"]
    assert items[0]["document"]["id"] == items[1]["document"]["id"]
    await library.processed(items[0]["document"]["id"])
    assert site.visits_of("/page") == [200]


async def test_a_key_makes_each_page_once(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    urls = [site.put(f"/{number}", article(f"Page {number}")) for number in range(3)]
    first, again = [await post(library, base, *urls, key="k") for _ in range(2)]
    assert [item["document"]["id"] for item in first.json()["items"]] == [
        item["document"]["id"] for item in again.json()["items"]
    ]
    assert {item["status"] for item in again.json()["items"]} == {"accepted"}
    assert len(await library.sql("SELECT 1 FROM executions")) == 3
    assert (await post(library, base, urls[0], key="k", tags=["x"])).status_code == 409
    await library.settled()


async def test_good_addresses_are_taken_beside_bad_ones(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    answer = await post(library, base, "http://127.0.0.9/", site.put("/page", article()))
    assert answer.status_code == 202
    assert [item["status"] for item in answer.json()["items"]] == ["refused", "accepted"]
    await library.settled()


async def test_what_has_not_changed_is_left_as_it_is(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    before = await add(library, base, site.put("/page", article()), refresh_every_hours=24)
    assert before["refresh_every_hours"] == 24
    after = await refreshed(library, before["id"])
    assert site.visits_of("/page") == [200, 304]
    site.pages["/page"].has_etag = False  # the same, without saying so
    again = await refreshed(library, before["id"])
    assert site.visits_of("/page") == [200, 304, 200]
    for found in (after, again):
        assert (found["status"], found["version"], found["revision"]) == ("ready", 1, before["revision"])
    assert again["refresh_at"] > before["refresh_at"]
    assert len(await library.ask("When are apples picked?", base)) > 0


async def test_what_has_changed_is_a_new_version(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    before = await add(library, base, site.put("/page", article()), refresh_every_hours=24, name="Our orchard")
    site.put("/page", article(text="Apples are picked in spring by machines."))
    after = await refreshed(library, before["id"])
    assert (after["status"], after["version"], after["name"]) == ("ready", 2, "Our orchard")
    text = " ".join(passage["text"] for passage in await library.ask("When are apples picked?", base))
    assert "in spring" in text
    assert "in autumn" not in text


async def test_what_is_gone_stays_found(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    before = await add(library, base, site.put("/page", article()), refresh_every_hours=24)
    site.put("/page", "gone", status=410)
    after = await refreshed(library, before["id"])
    assert (after["status"], after["error"]["code"], after["searchable"]) == ("failed", "page_not_found", True)
    assert "in autumn" in (await library.ask("When are apples picked?", base))[0]["text"]
    site.put("/page", article())  # there it is again
    back = await refreshed(library, before["id"])
    assert (back["status"], back["version"]) == ("ready", 1)


async def test_a_due_page_is_submitted_once_however_many_look(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    document = (await add(library, base, site.put("/page", article()), refresh_every_hours=1))["id"]
    await due(library, document)
    resources = library.platform.resources
    counts = await asyncio.gather(*(refresh.sweep(resources) for _ in range(6)))
    assert sum(counts) == 1
    await library.settled()
    assert await refresh.sweep(resources) == 0, "times that were missed are met once"
    assert len(await library.sql("SELECT 1 FROM executions")) == 2


async def test_reprocessing_processes_also_what_has_not_changed(library: Library, worker: None, site: WebSite) -> None:
    base = await library.base()
    before = await add(library, base, site.put("/page", article()))
    answer = await library.http.post(f"/api/v1/documents/{before['id']}/reprocess")
    assert answer.status_code == 202, answer.text
    after = await library.processed(before["id"])
    assert (after["status"], after["version"]) == ("ready", 1)
    assert after["revision"] > before["revision"]
    assert site.visits_of("/page") == [200, 304]


async def test_a_base_of_others_takes_no_pages(library: Library, other: Library, site: WebSite) -> None:
    base = await other.base()
    assert (await post(library, base, site.put("/page", article()))).status_code == 404


async def test_what_is_asked_must_make_sense(library: Library, site: WebSite) -> None:
    base = await library.base()
    url = site.put("/page", article())
    for body in (
        {"urls": []},
        {"urls": [f"{url}?{number}" for number in range(51)]},
        {"urls": [url, f"{url}2"], "name": "Both"},
        {"urls": [url], "refresh_every_hours": 0},
        {"urls": [url], "tenant_id": "x"},
    ):
        answer = await library.http.post(f"/api/v1/knowledge-bases/{base}/url-content", json=body)
        assert answer.status_code == 422, body
    assert await library.documents(base) == {}


async def test_a_page_is_not_fetched_for_somebody_who_left(
    library: Library, platform: Platform, ada: Account, worker: None, site: WebSite
) -> None:
    base = await library.base()
    editor = await platform.join(ada, "editor")
    theirs = await Library.of(platform, editor)
    document = (await add(theirs, base, site.put("/page", article()), refresh_every_hours=1))["id"]
    await _sql(library, "DELETE FROM memberships WHERE user_id = :id", id=editor.user_id)
    asked = len(site.visits_of("/page"))
    after = await refreshed(library, document)
    assert (after["refresh_every_hours"], after["refresh_at"], len(site.visits_of("/page"))) == (None, None, asked)
    assert "who asked for that has left" in after["warnings"][-1]

    again = await library.http.patch(f"/api/v1/documents/{document}", json={"refresh_every_hours": 1})
    assert again.status_code == 200
    await refreshed(library, document)
    assert len(site.visits_of("/page")) > asked
