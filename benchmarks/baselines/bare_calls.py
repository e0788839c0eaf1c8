"""The floor for many crews at once: `python -m benchmarks.baselines.bare_calls BASE_URL CLIENTS CALLS`.

CLIENTS bare `openai` async clients on the aiohttp transport, each making CALLS calls one after the other; prints the
wall seconds that all of them took.
"""

import asyncio
import sys
import time

import uvloop
from openai import AsyncOpenAI, DefaultAioHttpClient

from benchmarks.crew import ROLES, task


async def client(base_url: str, calls: int) -> None:
    async with AsyncOpenAI(
        base_url=base_url, api_key="benchmark", max_retries=0, http_client=DefaultAioHttpClient()
    ) as openai:
        for number in range(calls):
            role = ROLES[number % len(ROLES)]
            answer = await openai.chat.completions.create(
                model="fake", messages=[{"role": "user", "content": task(role, "the topic")["description"]}]
            )
            if not answer.choices[0].message.content:
                raise SystemExit("no answer")


async def run(base_url: str, clients: int, calls: int) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(client(base_url, calls) for _ in range(clients)))
    return time.perf_counter() - started


def main() -> None:
    base_url, clients, calls = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    uvloop.run(run(base_url, 2, 1))
    print(uvloop.run(run(base_url, clients, calls)))


if __name__ == "__main__":
    main()
