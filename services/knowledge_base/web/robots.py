"""What sites ask of programs (robots.txt, RFC 9309), and how fast they want to be asked."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from protego import Protego
from redis.asyncio import Redis
from redis.exceptions import RedisError
from yarl import URL

from services.knowledge_base.web.problems import PageFailed
from shared.net.fetch import FetchFailed, FetchProblem, Limits, fetch
from shared.net.policy import EgressPolicy

USER_AGENT = "Quarterdeck"
_HEADERS = {"User-Agent": f"{USER_AGENT} (reads pages that were named to it)"}
_LIMITS = Limits(max_bytes=1024 * 1024, timeout=15.0)
_REMEMBERED = 1000
_FOR_SECONDS = 900.0
_LONGEST_DELAY = 30.0
_LONGEST_WAIT = 120.0
_TOO_MANY_REQUESTS = 429


@dataclass(frozen=True, slots=True)
class _Known:
    rules: Protego | None  # None: there are none, everything is allowed
    until: float


class Robots:
    """One per process; remembers sites for a quarter of an hour."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    async def admit(self, session: aiohttp.ClientSession, policy: EgressPolicy, redis: Redis, url: str) -> None:
        """Returns when the page may be asked for. Raises `PageFailed`."""
        site = str(URL(url).origin())
        rules = await self._rules(session, policy, site)
        if rules is None:
            return
        if not await asyncio.to_thread(rules.can_fetch, url, USER_AGENT):
            raise PageFailed("robots_disallowed", "The site's robots.txt does not allow programs to read this page.")
        delay = rules.crawl_delay(USER_AGENT)
        if delay and delay > 0:
            await _take_turn(redis, site, min(delay, _LONGEST_DELAY))

    async def _rules(self, session: aiohttp.ClientSession, policy: EgressPolicy, site: str) -> Protego | None:
        known = self._known.get(site)
        if known is None or known.until < time.monotonic():
            known = _Known(await _read(session, policy, site), time.monotonic() + _FOR_SECONDS)
            self._known[site] = known
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return known.rules


async def _read(session: aiohttp.ClientSession, policy: EgressPolicy, site: str) -> Protego | None:
    try:
        answer = await fetch(session, policy, "GET", f"{site}/robots.txt", headers=_HEADERS, limits=_LIMITS)
    except FetchFailed as error:
        if error.problem is FetchProblem.BLOCKED:
            raise PageFailed("page_address_refused", f"The page cannot be fetched: {error}.") from error
        raise _unreadable(str(error), passes=error.problem.passes) from error
    if answer.status == _TOO_MANY_REQUESTS or answer.status >= 500:
        raise _unreadable(f"HTTP {answer.status}", passes=True)
    if answer.status >= 400:
        return None
    return await asyncio.to_thread(Protego.parse, answer.body.decode("utf-8-sig", "replace"))


def _unreadable(why: str, *, passes: bool) -> PageFailed:
    message = f"The site's robots.txt cannot be read ({why}), so it is not known whether the page may be."
    return PageFailed("robots_unavailable", message, passes=passes)


async def _take_turn(redis: Redis, site: str, delay: float) -> None:
    """Waits until nobody asked the site for `delay` seconds, whichever process it was."""
    deadline = time.monotonic() + _LONGEST_WAIT
    with suppress(RedisError):  # without it nobody can say; better a page too soon than none
        while time.monotonic() < deadline:
            if await redis.set(f"quarterdeck:crawl:{site}", 1, nx=True, px=int(delay * 1000)):
                return
            await asyncio.sleep(min(delay / 4, 1.0))
